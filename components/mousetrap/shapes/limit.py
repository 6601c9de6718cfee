"""Limits of stages: who holds them, and who waits."""

from dataclasses import dataclass
from typing import Annotated, Literal

from mousetrap.shapes.doc import Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitHolder:
    """A job that runs under a limit, or is about to."""

    run_id: Annotated[str, Doc(examples=("019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b",))]
    job: str
    worker: Annotated[
        str, Doc("Empty for one that a worker was given and that has not begun.", ("host-4711-9f3c",))
    ] = ""
    since_ms: Annotated[int | None, Doc("When it was claimed, in milliseconds since 1970.")] = None
    until_ms: Annotated[int, Doc("When its room is free again unless its worker renews its lease.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitKey:
    """A limit of a stage, or for one value of a field: who holds it, and how many wait."""

    key: Annotated[str, Doc("As the store has it.", ("orders.charge:n",))]
    of: Annotated[str, Doc("The value that selects it; empty for the whole stage.", ("customer=acme",))]
    running: Annotated[int, Doc("How many have room now; of a rate 0.")]
    waiting: Annotated[int, Doc("How many are in its lines; with `fair` at least: 32 lines are counted.")]
    next_ms: Annotated[
        int | None,
        Doc("Of a rate: when the next job may begin, in milliseconds since 1970; null for now."),
    ] = None
    holders: Annotated[tuple[LimitHolder, ...], Doc("Ten at most, those that end first.")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit of a stage."""

    stage: Annotated[str, Doc("Pipeline and stage.", ("orders.charge",))]
    queue: Annotated[str, Doc(examples=("charges",))]
    most: Annotated[int, Doc("So many at once, or in that time.")]
    every: Annotated[
        Literal["second", "minute", "hour"] | None, Doc("The time of a rate; null for a number at once.")
    ] = None
    burst: Annotated[int, Doc("How many may begin together.")]
    per: Annotated[str | None, Doc("The field of the input whose values have each their own.")] = None
    fair: Annotated[str | None, Doc("The field whose values are served in turn.")] = None
    waiting: Annotated[int, Doc("How many jobs of the stage wait for its limits.")]
    keys: Annotated[
        tuple[LimitKey, ...],
        Doc(
            "Those that somebody waits for, then those that somebody holds; a hundred of each at most, and a thousand in one answer."
        ),
    ] = ()
    more: Annotated[int, Doc("How many keys are left out.")] = 0
