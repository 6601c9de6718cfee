"""Declares a pipeline, checked where it is written."""

from dataclasses import dataclass
from typing import Any

from msgspec import UNSET, UnsetType

from mousetrap.pipeline.arrows import Arrow, arrows_of
from mousetrap.pipeline.check_edges import check_edges
from mousetrap.pipeline.edges import fallbacks, graph_of, predecessors, result_of_run
from mousetrap.pipeline.fan import Fan, Level, fans_of, levels_of
from mousetrap.pipeline.names import check_name, check_seconds
from mousetrap.pipeline.stage import Stage
from mousetrap.pipeline.topics import check_patterns

#: Seconds; a hundred years.
_LONGEST_S = 100 * 365 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Named stages, each the next one's supplier: a chain, unless a stage names another one in `after`.

    A stage's output is the input of the one that follows it, and the last one's is the run's result. Where several stages follow
    one, each takes other members of its output, which is a union, and a run goes on with one of them; or each takes all of it, and
    All joins them. The items of Many are taken by a stage that follows with Each, and joined by one with All.

    Raises ValueError, with the edge and the fix, when two stages share a name or a queue, and for stages that cannot follow each
    other.
    """

    name: str
    #: One sentence for readers.
    description: str
    stages: tuple[Stage, ...]
    #: Seconds after which a run's jobs are not begun any more, unless its submitter sets another time; None for never.
    expires_after: float | None = None
    #: Whether a worker that serves a stage and the next one goes on with the next job at once, under the message that it has:
    #: that job passes no queue, so neither its queue's length nor other workers see it. Only what fails or waits is queued.
    in_place: bool = False
    #: What it takes of what is published, as `orders.*`: each such message starts a run, with its body as the input.
    topics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name("pipeline", self.name)
        for what, kind, as_ in (("description", str, "'Counts words.'"), ("in_place", bool, "True")):
            if not isinstance(value := getattr(self, what), kind):
                raise ValueError(f"pipeline {self.name!r}: {what} is {value!r}: write {what}={as_}")  # noqa: TRY004
        _check_are_stages(self.name, self.stages)
        if not self.stages:
            raise ValueError(f"pipeline {self.name!r} has no stages: give it at least one")
        check_patterns(f"pipeline {self.name!r}", self.topics)
        check_seconds(f"pipeline {self.name!r}", "expires_after", self.expires_after)
        if self.expires_after is not None and not 0 < self.expires_after < _LONGEST_S:
            raise ValueError(
                f"pipeline {self.name!r}: expires_after is {self.expires_after} s: need more than 0 and less than a hundred years"
            )
        for attribute in ("name", "queue"):
            values = [getattr(stage, attribute) for stage in self.stages]
            if twice := next((value for value in values if values.count(value) > 1), None):
                raise ValueError(
                    f"pipeline {self.name!r} uses the {attribute} {twice!r} twice: give each stage a {attribute} of its own"
                )
        check_edges(self.name, self.stages)

    @property
    def first(self) -> Stage:
        """The stage that a run starts with."""
        return self.stages[0]

    @property
    def ends(self) -> tuple[Stage, ...]:
        """The stages that nothing follows; a run comes to one of them, or to the last of a fan-out's jobs there."""
        return tuple(stage for stage in self.stages if not self.followers(stage))

    @property
    def result(self) -> Any:
        """The contract of a run's result: the output of the end that it came to, or Counts of a fan-out that nothing joins."""
        return result_of_run(self.stages, graph_of(self.stages))

    @property
    def fans(self) -> tuple[Fan, ...]:
        """What its jobs open beside the one that follows: fan-outs and forks."""
        return fans_of(self.stages)

    @property
    def arrows(self) -> tuple[Arrow, ...]:
        """What leads from stage to stage."""
        return tuple(arrows_of(self.stages))

    def levels(self, stage: Stage) -> tuple[Level, ...]:
        """The fans that the jobs of this stage are in, the outermost first; none where a run has one job of it."""
        return levels_of(self.stages, stage.name)

    def opened_by(self, stage: Stage) -> Fan | None:
        """What a job of this stage opens when it is done; None where at most one job follows."""
        return next((fan for fan in self.fans if fan.opener.name == stage.name), None)

    def ended_by(self, stage: Stage) -> Fan | None:
        """The fan-out or fork of which a child ends with the output of this stage; None where it goes on, or is in none."""
        return next((fan for fan in self.fans if stage.name in {last.name for last in fan.last}), None)

    def forks(self, stage: Stage) -> tuple[str, ...]:
        """The names of the stages that each take what `stage` gives; none where at most one of them does."""
        opened = self.opened_by(stage)
        return tuple(each.name for each in opened.children) if opened is not None and opened.is_fork else ()

    def takers(self, stage: Stage) -> tuple[Stage, ...]:
        """The stages of which one takes what `stage` gives, with the serializer that it has: not what is joined or forks."""
        return () if self.forks(stage) or self.ended_by(stage) is not None else self.followers(stage)

    def stage(self, name: str) -> Stage | None:
        """The stage of that name, if there is one."""
        return next((stage for stage in self.stages if stage.name == name), None)

    def followers(self, stage: Stage) -> tuple[Stage, ...]:
        """The stages that may follow `stage`: usually one, none after an end, several after a branch or a fork."""
        edges = predecessors(self.stages)
        return tuple(each for each in self.stages if stage.name in edges[each.name])

    def follower(self, stage: Stage, chosen: str | UnsetType = UNSET) -> Stage | None:
        """The stage that a run goes on with after `stage`: the `chosen` one, or else the only one that follows."""
        following = self.followers(stage)
        if chosen is UNSET:
            return following[0] if len(following) == 1 else None
        fallback = fallbacks(self.stages).get(stage.name)
        possible = {each.name for each in following} | {fallback}
        return self.stage(chosen) if chosen in possible else None


def _check_are_stages(pipeline: str, stages: Any) -> None:
    if not isinstance(stages, tuple):
        shown = "a list" if isinstance(stages, list) else "no tuple"
        raise ValueError(f"pipeline {pipeline!r}: its stages are {shown}: write stages=(Stage(…), Stage(…))")  # noqa: TRY004
    for stage in stages:
        if not isinstance(stage, Stage):
            raise ValueError(f"pipeline {pipeline!r} has {stage!r} among its stages: write Stage(name=…, …)")  # noqa: TRY004
