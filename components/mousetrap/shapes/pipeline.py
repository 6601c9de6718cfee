"""A pipeline, as the API shows it."""

from dataclasses import dataclass
from typing import Annotated, Any

from mousetrap.shapes.doc import Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A step of a pipeline; the contracts are JSON Schemas."""

    name: str
    queue: str
    input: dict[str, Any]
    output: dict[str, Any]
    #: The stages that it follows; none for the stage that runs start with, and for a fallback.
    after: tuple[str, ...] = ()
    #: How: it takes the output of "one" of them; "each" item of it, as a job of its own; "gather": the outputs of all those jobs;
    #: "join": the outputs of all these stages, which follow one.
    edge: str = "one"
    #: Where it gathers: the share of the jobs that must be done, or a whole number of them above 1.
    need: float | None = None
    #: Whether the outputs are kept for it; else it takes counts alone.
    keep: bool = True
    #: Seconds that these jobs may take from when the job that opened them is done; then it begins with what is there.
    within: float | None = None
    #: The stage that a run goes on with when a job of this one is given up.
    fallback: str | None = None
    #: Whether a run goes on then as if the output were null.
    skips: bool = False
    #: Whether nothing that follows on its way runs then, which has ended with null.
    skips_after: bool = False
    #: The stages whose fan-outs and forks its jobs are in, the outermost first: there may be many jobs of it in one run.
    inside: tuple[str, ...] = ()
    #: Attempts at one job, the first one among them; null for no limit.
    attempts: int | None = None
    #: Seconds that one attempt may take, and after which its handler is asked to end by itself; null for no limit.
    timeout: float | None = None
    soft_timeout: float | None = None
    #: What its jobs hold while they run, and the field of their input whose value selects one lock of several.
    lock: str | None = None
    lock_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """What leads from one stage to another."""

    source: str
    target: str
    #: "next": the output goes there. "branch": it does where its type is the one that is taken there. "fork": it goes there and to
    #: others. "each": each item of it does. "gather": the outputs of a fan-out's jobs. "join": those of a fork's branches.
    #: "fallback": what a job took that was given up, and why.
    kind: Annotated[str, Doc(examples=("next",))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Named stages, a chain unless one names another that it follows."""

    name: Annotated[str, Doc(examples=("earthquakes",))]
    description: str
    stages: tuple[Stage, ...]
    #: What leads from stage to stage; the stages are what it leads to and from.
    arrows: tuple[Arrow, ...] = ()
    #: The patterns of the topics that it takes: what is published to one starts a run.
    topics: tuple[str, ...] = ()
    schedules: Annotated[
        tuple[str, ...], Doc("The schedules that its workers declare, where one pipeline is asked for.")
    ] = ()
