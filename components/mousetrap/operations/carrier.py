"""Carries operations on, step by step, beside other carriers."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress

from mousetrap.jobs import MousetrapError
from mousetrap.operations.counts import Counts, Pace
from mousetrap.operations.fate import FIRST, Fate, Kind, within_bounds
from mousetrap.operations.record import Plan, Share
from mousetrap.operations.store import LEASE_S, NoShare, Operations
from mousetrap.shapes import Operation
from mousetrap.shutdown import end_tasks
from mousetrap.signing import SignatureRefused

#: A step is the targets of so many seconds of the rate, and of so many at most: letters are held for as long as their step.
_STEP_S, _STEP = 5.0, 500
#: The pause before targets that could not be tried just now.
_AGAIN_S = 1.0
#: How often a carrier that waits for its rate renews the lease.
_RENEW_S = LEASE_S / 4
#: For so long an operation that another carrier has is not tried again.
_HELD_S = LEASE_S / 4

_log = logging.getLogger("mousetrap.operations")


class Carrier:
    """Begins operations, and goes on with every one that no other carrier has.

    1. `begin` records what was asked for and the first targets; `look`, which a duty repeats, finds all that are under way. Each has
       a task.
    2. Where there are more targets than one look finds, they are recorded page by page, before any is tried.
    3. A step at a time the store gives the next targets, they are tried, and are counted if no other carrier has.

    A carrier may die anywhere: what it had not counted is tried again, which changes nothing, and is counted then.
    """

    def __init__(
        self,
        operations: Operations,
        kinds: Mapping[str, Kind],
        token: str,
        *,
        on_end: Callable[[Operation], None] = lambda _: None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._operations = operations
        self._kinds = kinds
        self._token = token
        self._on_end = on_end
        self._now = now
        self._sleep = sleep
        self._tasks: dict[str, asyncio.Task[None]] = {}
        #: Operations that another carrier had, and until when they are left to it.
        self._held: dict[str, float] = {}

    async def begin(self, operation_id: str, plan: Plan) -> bool:
        """Records an operation, and begins with it. False where one of this id is there; then nothing changes.

        Raises TooManyOperations, and what broker and store raise.
        """
        finding = within_bounds(await self._kinds[plan.kind].find(plan, FIRST), plan, 0)
        created = await self._operations.create(operation_id, plan, finding)
        self._start(operation_id)
        return created

    async def look(self) -> None:
        """Begins with operations that are under way and that neither this carrier has nor another one had a moment ago."""
        now = self._now()
        self._held = {operation_id: until for operation_id, until in self._held.items() if until > now}
        for operation_id in await self._operations.open_ids():
            if operation_id not in self._held:
                self._start(operation_id)

    async def close(self) -> None:
        """Leaves all operations to other carriers, or to the next start."""
        await end_tasks(*self._tasks.values())

    def _start(self, operation_id: str) -> None:
        # No bound of its own: a few slow ones would hold up all others, and the store bounds how many there are.
        if operation_id not in self._tasks:
            task = asyncio.create_task(self._carry(operation_id))
            self._tasks[operation_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(operation_id, None))

    async def _carry(self, operation_id: str) -> None:
        try:
            state = await self._carry_out(operation_id)
            if state == "held":
                self._held[operation_id] = self._now() + _HELD_S
            if state not in ("held", "moved"):
                await self._operations.close_entry(operation_id, self._now_ms())
            if state in ("done", "failed") and (operation := await self._operations.get(operation_id)):
                self._on_end(operation)
        except MousetrapError as error:
            with suppress(MousetrapError):
                await self._operations.note_waiting(operation_id, error.outside())
        except Exception:  # noqa: BLE001  it must not end without a word; the next look begins again
            _log.exception("an operation does not go on", extra={"operation": operation_id})

    async def _carry_out(self, operation_id: str) -> str:
        """As `_carry_on`; `failed` where what is to be done is not ours."""
        try:
            return await self._carry_on(operation_id)
        except SignatureRefused as error:
            _log.error("will not carry out an operation: %s", error, extra={"operation": operation_id})
            why = f"it is not ours: {error}"
            return await self._operations.end(operation_id, "failed", self._now_ms(), why) or "unknown"

    async def _carry_on(self, operation_id: str) -> str:
        """Gives `done` where it ended here, and else why it does not go on here: `held`, `moved`, `stopped`, `over`, `unknown`."""
        plan = await self._operations.plan(operation_id)
        if plan is None:
            return "unknown"
        kind = self._kinds.get(plan.kind)
        if kind is None:
            return "held"  # of another version, whose own carrier it waits for
        pace = Pace(plan.rate, self._sleep)
        most = max(1, min(_STEP, int(plan.rate * _STEP_S)))
        while True:
            if (why := await self._wait(operation_id, pace)) is not None:
                return why
            if kind.has_one_carrier and not await self._operations.lead(plan.kind, self._token):
                return "held"
            share = await self._operations.claim(operation_id, self._token, most)
            if not isinstance(share, Share):
                return share
            take = self._find if share.after else self._try
            state = await take(operation_id, plan, kind, share, pace)
            if state != "running":
                return state

    async def _wait(self, operation_id: str, pace: Pace) -> NoShare | None:
        """Keeps the lease while the rate allows no target for long; or why the operation does not go on here."""
        while pace.left_s() > _RENEW_S:
            share = await self._operations.claim(operation_id, self._token, 0)
            if not isinstance(share, Share):
                return share
            await self._sleep(_RENEW_S)
        return None

    async def _find(self, operation_id: str, plan: Plan, kind: Kind, share: Share, _: Pace) -> str:
        """Records more targets."""
        finding = within_bounds(await kind.find(plan, share.after), plan, share.matched)
        return await self._operations.found(operation_id, share, finding, self._now_ms())

    async def _try(self, operation_id: str, plan: Plan, kind: Kind, share: Share, pace: Pace) -> str:
        """Tries the targets of a step, and counts them as it goes on."""
        if share.targets and share.targets[0].tries:
            await self._sleep(_AGAIN_S)
        counts = Counts(self._operations, operation_id, share.cursor, self._now_ms)
        targets = [(target, number < share.repeated) for number, target in enumerate(share.targets)]
        try:
            async with aclosing(kind.act(operation_id, plan, targets)) as fates:
                for target, _ in targets:
                    await pace.wait()
                    counts.add(target, await _next(fates, operation_id))
                    if counts.due and await self._record(counts, kind, plan) != "running":
                        return counts.state
                    if counts.is_broken:
                        break
        except MousetrapError:
            with suppress(MousetrapError):
                await counts.record()
            raise
        return await counts.record()

    async def _record(self, counts: Counts, kind: Kind, plan: Plan) -> str:
        """Records the counts in the middle of a step, and keeps the lead."""
        if kind.has_one_carrier:
            await self._operations.lead(plan.kind, self._token)
        return await counts.record()

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


async def _next(fates: AsyncGenerator[Fate, None], operation_id: str) -> Fate:
    """The next fate. An error that no one foresaw is that of one target, which would come again and again."""
    try:
        return await anext(fates)
    except MousetrapError:
        raise
    except Exception as error:  # noqa: BLE001
        _log.exception("one target of an operation failed", extra={"operation": operation_id})
        return Fate("failed", f"unexpected: {type(error).__name__}", ends=True)
