"""Names runs in hints, before they become what these are about."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from mousetrap.jobs import Job
from mousetrap.run_store.keys import reopening_key
from mousetrap.run_store.packed.call import Call
from mousetrap.run_store.packed.heads import ask, read_run_head, run_head
from mousetrap.run_store.packed.hinted import add_pipelines
from mousetrap.run_store.packed.hints import DAY_MS, Listed, add_kept, add_names, add_opened, ends_of, is_long
from mousetrap.run_store.packed.sender import Sender
from mousetrap.run_store.records import RecordBroken
from mousetrap.run_store.run_filter import open_list
from mousetrap.store_client import Command

#: The state of a run that a job's give-up may lead to, and of one whose time is over.
_FAILED, _EXPIRED = "failed", "expired"
#: No run is opened again so long after it was named for that.
_REOPENED_WITHIN_MS = 60_000
#: Runs of which is remembered that they were named today.
_MOST_NAMED = 10_000


class Naming:
    """Each method returns once the runs are named. They raise StoreUnreachable."""

    def __init__(self, sender: Sender, ttl: int) -> None:
        self._sender = sender
        self._ttl = ttl
        #: The day on which long runs were last named so.
        self._kept: dict[str, int] = {}

    async def restoring(self, jobs: Sequence[Job]) -> None:
        """Of runs that are to be recorded from the messages of their jobs."""
        call, runs = Call(), [_of_message(job) for job in jobs]
        add_pipelines(call, {job.pipeline for job in jobs}, self._ttl)
        add_opened(call, runs, self._ttl)
        can_expire = [run for job, run in zip(jobs, runs, strict=True) if job.expires_ms]
        add_names(call, _by_list(_EXPIRED, can_expire, [""] * len(can_expire)), self._ttl)
        self._add_kept(call, runs)
        await self._sender.do(call.commands)

    async def reopening(self, jobs: Sequence[Job]) -> None:
        """Of runs that may be open once more by these jobs."""
        call = Call()
        runs = await self._runs(jobs, call)
        add_pipelines(call, {run[0] for run in runs}, self._ttl)
        add_names(call, _grouped((open_list(run[0]), run) for run in runs), self._ttl)
        self._add_kept(call, runs)
        # Who takes a failed run off after it was named here sees that it is about to go on, also if this process dies.
        marks: list[Command] = [
            ("SET", reopening_key(job.run_id), "1", "PX", _REOPENED_WITHIN_MS) for job in jobs
        ]
        if self._sender.is_cluster:
            await self._sender.do(marks)
            marks = []
        await self._sender.do([*marks, *call.commands])

    async def failing(self, jobs: Sequence[Job], errors: Sequence[str]) -> None:
        """Of runs that may fail as these jobs are given up, with errors of these kinds."""
        call = Call()
        runs = await self._runs(jobs, call)
        add_names(call, _by_list(_FAILED, runs, errors), self._ttl)
        self._add_kept(call, runs)
        await self._sender.do(call.commands)

    async def ending(self, state: str, run: Listed, error: str) -> None:
        """Of a run that is to be ended from outside; `error` is the kind of its failure, empty for none."""
        call = Call()
        add_names(call, _by_list(state, [run], [error]), self._ttl)
        self._add_kept(call, [run])
        await self._sender.do(call.commands)

    def long(self, jobs: Iterable[Job]) -> list[Job]:
        """Those of the jobs whose runs may live longer than the lists of their days and were not named so here today."""
        now = self._sender.now_ms()
        found = [job for job in jobs if is_long(job.accepted_ms, now)]
        return [job for job in found if self._kept.get(job.run_id) != now // DAY_MS] if found else found

    async def keeping(self, jobs: Sequence[Job]) -> None:
        """Of such runs, which these jobs make live longer."""
        call, day = Call(), self._sender.now_ms() // DAY_MS
        self._add_kept(call, await self._runs(jobs, call))
        await self._sender.do(call.commands)
        if len(self._kept) > _MOST_NAMED:
            self._kept.clear()
        self._kept.update((job.run_id, day) for job in jobs)

    def _add_kept(self, call: Call, runs: Iterable[Listed]) -> None:
        add_kept(call, runs, self._sender.now_ms(), self._ttl)

    async def _runs(self, jobs: Sequence[Job], call: Call) -> list[Listed]:
        """The runs of the jobs as lists name them; those that may be recorded from the messages are put into the call.

        The message of a job that was redriven has another time than its run.
        """
        heads = await ask(self._sender.send, [run_head(job.run_id) for job in jobs])
        if error := next(filter(_is_unknown, heads), None):
            raise self._sender.error(error)
        known = [_listed(job, head) for job, head in zip(jobs, heads, strict=True)]
        if unknown := [_of_message(job) for job, run in zip(jobs, known, strict=True) if run is None]:
            add_opened(call, unknown, self._ttl)
        return [run or _of_message(job) for job, run in zip(jobs, known, strict=True)]


def _is_unknown(head: object) -> bool:
    """Whether it is not known what the record is: its server is away, or failed. A key of another type is damaged."""
    return isinstance(head, Exception) and not str(head).startswith("WRONGTYPE")


def _listed(job: Job, head: object) -> Listed | None:
    """None for a run that is not known, or damaged."""
    try:
        run = None if isinstance(head, Exception) else read_run_head(head)
    except RecordBroken:
        run = None
    if run is None or not run.facts.pipeline:
        return None
    return run.facts.pipeline, run.facts.accepted_ms, job.run_id


def _of_message(job: Job) -> Listed:
    return job.pipeline, job.accepted_ms, job.run_id


def _by_list(state: str, runs: Sequence[Listed], errors: Sequence[str]) -> dict[str, list[Listed]]:
    found = zip(runs, errors, strict=True)
    return _grouped((name, run) for run, error in found for name in ends_of(state, run, error))


def _grouped(named: Iterable[tuple[str, Listed]]) -> dict[str, list[Listed]]:
    lists: defaultdict[str, list[Listed]] = defaultdict(list)
    for name, run in named:
        lists[name].append(run)
    return lists
