"""Lists the jobs of a run by page."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mousetrap.pipeline import Level, Pipeline
from mousetrap.run_store.attempts import with_attempts
from mousetrap.run_store.children import Budget, FanRead, StoredJob, follower, read_ways
from mousetrap.run_store.connection import StoreConnection
from mousetrap.run_store.decode_run import StoredRun
from mousetrap.run_store.job_lines import FoundJob, JobsShown, lines_of_events
from mousetrap.run_store.packed.chain import first_id
from mousetrap.run_store.packed.fan_state import ask_fan, read_fan, shown_fan
from mousetrap.run_store.packed.heads import run_head
from mousetrap.run_store.packed.snapshot import Snapshot, take_snapshot
from mousetrap.shapes import JobLine, JobPage, JobState
from mousetrap.store_client import StoreClient

#: Records that one call reads, and bytes of outputs that a page ends after.
_MOST_READ, _MOST_BYTES = 2_000, 1024 * 1024
#: The bytes of `lua/packed/fans.lua` that a child's way ended with, where its job may be in this state; of others, any.
_GIVEN_UP, _NOT_DONE = frozenset(b"K"), frozenset(range(256)) - frozenset(b"D")
_ENDS = {
    JobState.FAILED: _GIVEN_UP,
    JobState.QUEUED: _NOT_DONE,
    JobState.RUNNING: _NOT_DONE,
    JobState.RETRYING: _NOT_DONE,
    JobState.OVER: _NOT_DONE,
}


@dataclass(frozen=True, slots=True)
class JobPlace:
    """The job that a page begins with: of a stage, and an index in each fan that it is in."""

    stage: str
    index: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.stage}:{'.'.join(map(str, self.index))}"

    @classmethod
    def read(cls, text: str) -> "JobPlace":
        """The place in the `next` of a page. Raises ValueError."""
        stage, _, index = text.partition(":")
        return cls(stage, tuple(map(int, index.split("."))) if index else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs a list shows; None for all."""

    stage: str | None = None
    state: JobState | None = None
    limit: int = 50
    #: Where it begins.
    place: JobPlace | None = None


def with_letters(page: JobPage, pipeline: Pipeline) -> JobPage:
    """The page with where the dead letters of its jobs are, which have the jobs' ids."""
    queues = {stage.name: stage.queue for stage in pipeline.stages}
    lines = [
        replace(line, letter=f"/dead/{queues[line.stage]}/{line.id}")
        if line.state is JobState.FAILED and line.stage in queues
        else line
        for line in page.jobs
    ]
    return replace(page, jobs=tuple(lines))


class JobLists(StoreConnection):
    """Lists jobs, those of a run's own row and those of children."""

    async def jobs(self, run: StoredRun, pipeline: Pipeline, wanted: JobFilter) -> JobPage:
        """The jobs of the run by stage, in the order of its pipeline, and then by index.

        One call reads 2,000 records at most: its page can be short, or empty, and still have a next.
        """
        async with self._reaching():
            (head,) = await self._client.pipeline([run_head(run.id)])
            if not head:
                lines = lines_of_events(run)
                matching = [it for it in lines if _matches(it, wanted)]
                return JobPage(jobs=with_attempts(matching, run.timeline), next=None)
            # Its events are known.
            after = run.timeline[-1].id if run.timeline else "0"
            snapshot = await take_snapshot(self._client, self._routes, run.id, head, after)
            bounded = frozenset(fan.opener.name for fan in pipeline.fans if fan.within is not None)
            walk = _Walk(self._client, run.id, _row(snapshot), wanted, Budget(_MOST_READ), bounded)
            page = await _page(walk, pipeline, JobsShown(run, self._keyring))
            jobs = await self._with_children(run.id, page.jobs)
            return replace(page, jobs=with_attempts(jobs, (*run.timeline, *snapshot.after(after))))

    async def _with_children(self, run_id: str, lines: Sequence[JobLine]) -> Sequence[JobLine]:
        """The lines with how far the children of their jobs are."""
        replies = await self._client.pipeline([ask_fan(run_id, line.id) for line in lines]) if lines else []
        fans = [read_fan(reply) for reply in replies]
        return [
            replace(line, children=shown_fan(line.id, line.stage, fan)) if fan else line
            for line, fan in zip(lines, fans, strict=True)
        ]


class _Walk(NamedTuple):
    """What a page is read from, and for."""

    client: StoreClient
    run_id: str
    #: The jobs of the run's own row, by stage.
    row: Mapping[str, StoredJob]
    wanted: JobFilter
    budget: Budget
    #: The stages that open jobs whose time may be over.
    bounded: frozenset[str]


async def _page(walk: _Walk, pipeline: Pipeline, shown: JobsShown) -> JobPage:
    lines: list[JobLine] = []
    size = 0
    async for found in _walked(walk, pipeline):
        if isinstance(found, JobPlace):
            return JobPage(jobs=tuple(lines), next=str(found))
        line = shown.line(found)
        if not _matches(line, walk.wanted):
            continue
        if len(lines) == walk.wanted.limit or size > _MOST_BYTES:
            return JobPage(jobs=tuple(lines), next=str(JobPlace(line.stage, line.index)))
        lines.append(line)
        size += found.size
    return JobPage(jobs=tuple(lines), next=None)


async def _walked(walk: _Walk, pipeline: Pipeline) -> AsyncIterator[FoundJob | JobPlace]:
    """The jobs that may match, in their order; or the place where the budget ended."""
    names = [stage.name for stage in pipeline.stages]
    place = walk.wanted.place
    if place is not None:
        names = names[names.index(place.stage) :] if place.stage in names else []
    for name in names:
        if walk.wanted.stage not in (None, name):
            continue
        levels = pipeline.levels(pipeline.stages[[it.name for it in pipeline.stages].index(name)])
        first = place.index if place is not None and place.stage == name else ()
        if not levels:
            if (job := walk.row.get(name)) is not None:
                yield FoundJob(job)
        elif (opener := walk.row.get(levels[0].opener)) is not None:
            async for found in _inside(walk, name, levels, FoundJob(opener), first):
                yield found


async def _inside(
    walk: _Walk, stage: str, levels: Sequence[Level], opener: FoundJob, first: tuple[int, ...]
) -> AsyncIterator[FoundJob | JobPlace]:
    """The jobs of a stage in the fan of a job, and in the fans in that; from the index `first` on."""
    if not opener.job.has_children:
        return
    rest = levels[1:]
    is_over = opener.is_over or await _is_over(walk, levels, opener.job.id)
    async for way in read_ways(walk.client, _fan(walk, levels, opener, first), walk.budget):
        if isinstance(way, int):
            yield JobPlace(stage, (*opener.index, way))
            return
        job = way.jobs.get(rest[0].opener if rest else stage)
        if job is None:
            continue
        found = FoundJob(job, (*opener.index, way.index), way.key, opener.job.id, is_over)
        if not rest:
            yield found
            continue
        deeper = first[1:] if first and way.index == first[0] else ()
        async for each in _inside(walk, stage, rest, found, deeper):
            yield each
            if isinstance(each, JobPlace):
                return


def _fan(walk: _Walk, levels: Sequence[Level], opener: FoundJob, first: tuple[int, ...]) -> FanRead:
    """The children of a job that may match, or lead to jobs that do."""
    level, *inner = levels
    ends = _ENDS.get(walk.wanted.state) if walk.wanted.state and not inner else None
    return FanRead(walk.run_id, opener.job.id, level.child, first[0] if first else 0, ends, level.index)


async def _is_over(walk: _Walk, levels: Sequence[Level], opener: str) -> bool:
    """Whether the children of this job were gone on without where they are not decided: for their time, or as they are lost with
    children of their own."""
    if levels[0].opener not in walk.bounded and not levels[1:]:
        return False
    (reply,) = await walk.client.pipeline([ask_fan(walk.run_id, opener)])
    fan = read_fan(reply)
    return fan is not None and fan.state == "fired"


def _row(snapshot: Snapshot) -> Mapping[str, StoredJob]:
    """The jobs of the run that are no children, by stage; with the one that waits for its first claim."""
    run_id, run = snapshot.run_id, snapshot.run
    if run is None:
        return {}
    jobs = [StoredJob(job_id, held.facts.stage, held) for job_id, held in snapshot.chain.jobs]
    if not jobs:
        after = (first_id(run_id, run.facts.stage), run.facts.stage)
    elif jobs[-1].has_children and snapshot.waits_for_children:
        after = None
    else:
        after = follower(run_id, jobs[-1])
    if after is not None:
        jobs.append(StoredJob(*after, damage=snapshot.chain.damage))
    return {job.stage: job for job in jobs}


def _matches(line: JobLine, wanted: JobFilter) -> bool:
    return wanted.stage in (None, line.stage) and wanted.state in (None, line.state)
