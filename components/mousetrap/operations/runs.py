"""Cancels, or repeats, the runs of an operation."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence

from mousetrap.jobs import MousetrapError, PayloadUnusable, RecordDamaged
from mousetrap.operations.fate import FIRST, Fate, Finding
from mousetrap.operations.record import Plan, Target
from mousetrap.payloads import PayloadTooLarge
from mousetrap.pipeline import ContractBroken, Pipeline
from mousetrap.run_store import RunConflict, RunFilter, RunStore
from mousetrap.shapes import RunLine, RunState
from mousetrap.submit_run import Intake, RerunImpossible, Submitter, run_id_of_key

#: Runs in one page of the list.
_PAGE = 200
#: What is wrong with one run alone.
_REFUSALS = (RerunImpossible, ContractBroken, RunConflict, PayloadTooLarge, PayloadUnusable, RecordDamaged)
#: The owner of the ids of re-runs; no key of the API has such an id.
_OWNER = "|operation"


class _OnRuns(ABC):
    """What both have in common: how targets are found, and that one run's error ends nothing."""

    has_one_carrier = False

    def __init__(self, store: RunStore) -> None:
        self._store = store

    async def find(self, plan: Plan, after: str) -> Finding:
        """The runs of one page that the filter selects; without a state, those that the operation makes sense for."""
        state = plan.filter.get("state")
        wanted = RunFilter(**{**plan.filter, "state": RunState(state) if state else None})
        page = await self._store.page(wanted, limit=_PAGE, after=None if after == FIRST else after)
        return Finding([Target(run.id) for run in page.runs if state or self.fits(run)], page.next or "")

    async def act(
        self, operation_id: str, plan: Plan, targets: Sequence[tuple[Target, bool]]
    ) -> AsyncGenerator[Fate, None]:
        """One run after another; a second try finds what the first one did."""
        for target, _ in targets:
            try:
                fate = await self.act_on(operation_id, plan, target.id)
            except _REFUSALS as error:
                fate = Fate("failed", error.outside() if isinstance(error, MousetrapError) else str(error))
            yield fate

    @abstractmethod
    def fits(self, run: RunLine) -> bool:
        """Whether a run is acted on where the filter names no state."""

    @abstractmethod
    async def act_on(self, operation_id: str, plan: Plan, run_id: str) -> Fate:
        """What becomes of one run."""


class CancelRuns(_OnRuns):
    """Ends runs that have not ended."""

    def fits(self, run: RunLine) -> bool:
        """Only a run that goes on; a failed one can go on in parts, and is cancelled where the state is named."""
        return not run.state.ended

    async def act_on(self, operation_id: str, plan: Plan, run_id: str) -> Fate:
        """Done, or stale where the run had ended or is forgotten."""
        is_cancelled = await self._store.cancel(run_id) == RunState.CANCELLED
        return Fate("done", run_id=run_id) if is_cancelled else Fate("stale")


class RerunRuns(_OnRuns):
    """Repeats runs that have ended. The new run's id follows from the operation and the run, so no run is repeated twice."""

    def __init__(
        self, store: RunStore, submitter: Submitter, intake: Intake, pipelines: Mapping[str, Pipeline]
    ) -> None:
        super().__init__(store)
        self._submitter = submitter
        self._intake = intake
        self._pipelines = pipelines

    def fits(self, run: RunLine) -> bool:
        """Only a run that has ended: one that goes on would be done twice."""
        return run.state.ended

    async def act_on(self, operation_id: str, plan: Plan, run_id: str) -> Fate:
        """Done once the new run is kept. While none is accepted, for the store or a dead queue is full, the operation waits."""
        run = await self._store.get(run_id)
        if run is None:
            return Fate("failed", "the run is forgotten: it was kept for as long as the settings allow")
        if (pipeline := self._pipelines.get(run.pipeline)) is not None:
            self._intake.check(pipeline, 0)
        new_id = run_id_of_key(_OWNER, run_id, operation_id)
        await self._submitter.rerun(run, run_id=new_id, begin=plan.begin)
        return Fate("done", run_id=new_id)
