"""Takes the usual jobs of a turn through their steps together."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import UNSET

from mousetrap.jobs import DEFAULT_PRIORITY, Delivery, Done, Job, MousetrapError, Outcome, RecordDamaged
from mousetrap.run_store import Claim, Decided, Decision, Granted, Limited
from mousetrap.worker.attempts import Attempt, Attempts
from mousetrap.worker.beside import Beside
from mousetrap.worker.claims import Claims
from mousetrap.worker.endings import Drop, Ending, Publish, Refuse, StandInLine, ending_of
from mousetrap.worker.exchange import Replies
from mousetrap.worker.in_place import StandIn
from mousetrap.worker.lines import Lines
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.refusals import damaged, verified
from mousetrap.worker.run_claimed import ClaimedRunner
from mousetrap.worker.settle import Settler

_log = logging.getLogger("mousetrap.worker")

#: Seconds that a message waits after a defect of ours, so that it is not redelivered without a pause.
DEFECT_PAUSE_S = 1.0
#: Who goes on alone: an attempt from where it is, or a message that is refused.
Alone = Attempt | tuple[Delivery, Refuse]


class Turns:
    """The usual way of many jobs at once: the steps of `Processor`, taken together.

    1. What has arrived is verified, and attempts begin, as far as jobs may run.
    2. One exchange with the store records the outcomes of the last jobs and claims these.
    3. Granted, the handlers are stepped in place (`Steps`).
    4. The outcome is recorded with the next exchange, and what follows is published: in the same turn where its job names the
       fence that it follows from (`Claims.beside`), else once the outcome is recorded. When both are done, the
       deliveries are acknowledged.
    5. In place of that, a pipeline's next job begins under the same deliveries where the pipeline asks for it (`in_place`) and this
       worker serves that stage.
    6. Whatever is not usual goes on alone, from where it is: `alone` gets it.
    """

    def __init__(
        self,
        attempts: Attempts,
        claims: Claims,
        runner: ClaimedRunner,
        settler: Settler,
        lines: Lines,
        options: WorkerOptions,
        alone: Callable[[Alone], None],
    ) -> None:
        self._attempts = attempts
        self._claims = claims
        self._runner = runner
        self._settler = settler
        self._lines = lines
        self._options = options
        self._alone = alone
        self._exchange = claims.exchange(self._replied)
        self._steps = runner.steps(self._ran, self._go_alone)
        self._received: deque[Delivery] = deque()
        #: Those that go before all others: of a higher priority than the default.
        self._first: deque[Delivery] = deque()
        self._scheduled = False
        self._is_leaving = False

    @property
    def waiting(self) -> bool:
        """Whether deliveries wait for their turn."""
        return bool(self._first or self._received)

    def prefetched(self) -> Mapping[str, int]:
        """How many these are by queue; from any thread, for a copy is taken in one step."""
        return Counter(delivery.queue for delivery in (*tuple(self._first), *tuple(self._received)))

    def receive(self, delivery: Delivery) -> None:
        """Takes a delivery, for the end of this turn of the event loop."""
        is_first = delivery.message.priority > DEFAULT_PRIORITY
        (self._first if is_first else self._received).append(delivery)
        if not self._scheduled:
            self.soon()

    def begin_first(self, woken: Sequence[Delivery]) -> None:
        """Takes deliveries that begin before all others but those of a higher priority."""
        for each in reversed(woken):
            is_first = each.message.priority > DEFAULT_PRIORITY
            (self._first if is_first else self._received).appendleft(each)
        self.soon()

    def received(self) -> Sequence[Delivery]:
        """The deliveries that wait for their turn."""
        return (*self._first, *self._received)

    def take_waiting(self) -> list[Delivery]:
        """The deliveries that wait, and are not to be begun any more; nor is a next job, from now on."""
        self._is_leaving = True
        self._lines.leave()
        waiting = [*self._first, *self._received]
        self._first.clear()
        self._received.clear()
        return waiting

    def take_waiting_of(self, queue: str) -> list[Delivery]:
        """The deliveries of one queue that wait, and are not to be begun."""
        waiting = [each for each in (*self._first, *self._received) if each.queue == queue]
        if waiting:
            self._first = deque(each for each in self._first if each.queue != queue)
            self._received = deque(each for each in self._received if each.queue != queue)
        return waiting

    def soon(self) -> None:
        """Has the next turn begin what may begin, and ask the store."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def close(self) -> None:
        """Ends what is under way; the messages go to another worker when the connection closes."""
        self._exchange.close()
        for attempt in self._attempts.left():
            if attempt.task is None and attempt.suspended is not None:
                attempt.suspended[1].cancel()

    def finish(self, attempt: Attempt, outcome: Done) -> None:
        """Records and publishes the attempt's outcome with others."""
        attempt.task, attempt.alone, attempt.outcome = None, False, outcome
        if outcome.next is not UNSET:
            attempt.goes_to(outcome)
        goes_on = self._attempts.some_in_place and self._goes_on(attempt, outcome)
        self._attempts.hold(attempt, goes_on)
        self._exchange.record(attempt, self._claims.decision_request(attempt, outcome))
        if not goes_on and (beside := self._claims.beside(attempt, outcome)) is not None:
            self._post_beside(attempt, beside)
        if not self._scheduled:
            self.soon()

    def _turn(self) -> None:
        self._scheduled = False
        while (waiting := self._first or self._received) and self._attempts.held < self._attempts.room:
            delivery = waiting.popleft()
            try:
                self._begin(delivery)
            except Exception:  # noqa: BLE001  a defect of ours must not cost the others of this turn
                _log.exception("could not begin a message of %s; it goes back", delivery.queue)
                asyncio.get_running_loop().call_later(DEFECT_PAUSE_S, delivery.hand_back)
        self._exchange.send()

    def _begin(self, delivery: Delivery) -> None:
        job = verified(delivery.message, self._options.keyring)
        if not isinstance(job, Job):
            self._alone((delivery, job))
        elif (attempt := self._attempts.begin(job, delivery)) is None:
            return  # the queue delivered it again: the attempt under way settles both
        else:
            self._ask(attempt)

    def _ask(self, attempt: Attempt) -> None:
        if attempt.job.reference is not UNSET and self._claims.is_payload_needed(attempt):
            self._go_alone(attempt)
            return
        try:
            self._exchange.claim(attempt, self._claims.claim_request(attempt))
        except Exception:  # noqa: BLE001  a defect of ours must not cost those that go with it
            self._failed_itself(attempt)

    def _safely(self, step: Callable[[Attempt, Any], None], results: Replies) -> None:
        """Takes the step for each of the attempts, with its result."""
        for attempt, result in zip(*results, strict=False):
            try:
                step(attempt, result)
            except Exception:  # noqa: BLE001  as above
                self._failed_itself(attempt)

    def _failed_itself(self, attempt: Attempt) -> None:
        """After a defect of ours the attempt goes on alone, where the defect shows again or not."""
        _log.exception("a job of stage %s goes on alone", attempt.job.stage)
        self._go_alone(attempt)

    def _replied(self, decided: Replies, claimed: Replies) -> None:
        self._safely(self._recorded, decided)
        self._safely(self._claimed, claimed)
        # A turn later: a call to the store that has just begun is written first, and not after five milliseconds of handlers.
        asyncio.get_running_loop().call_soon(self._steps.start)

    def _claimed(self, attempt: Attempt, claim: Claim | BaseException) -> None:
        if attempt.alone:
            return  # handed back meanwhile
        # The usual answer is looked for first: to find that something is no struct of a type takes six times as long.
        if isinstance(claim, Granted) and self._runner.is_usual(attempt, claim):
            self._claims.granted(attempt, claim)
            self._steps.add(attempt)
            return
        if isinstance(claim, BaseException):
            attempt.unanswered = True
            self._failed(attempt, claim)
            return
        self._claims.claimed(attempt, claim)
        if isinstance(claim, Limited):
            self._stand_in_line(attempt, claim)
        elif isinstance(claim, Decided) and self._goes_on(attempt, claim.outcome):
            job, queue, next_stage = attempt.job, attempt.queue, attempt.next_stage
            self._go_on(attempt, ending_of(claim.outcome, job, queue, next_stage, claim.fence))
        else:
            self._go_alone(attempt)

    def _stand_in_line(self, attempt: Attempt, claim: Limited) -> None:
        ending = self._claims.stand_in_line(attempt, claim)
        if isinstance(ending, StandInLine):
            self._lines.stand_soon(attempt, ending, self._go_alone)
            self.soon()
        else:
            self._ends_alone(attempt, ending)

    def _ran(self, attempt: Attempt, outcome: Outcome) -> None:
        outcome = attempt.as_kept(outcome)
        if isinstance(outcome, Done) and not self._runner.is_large(outcome):
            self.finish(attempt, outcome)
        else:
            attempt.outcome = outcome
            self._go_alone(attempt)

    def _post_beside(self, attempt: Attempt, beside: Beside) -> None:
        try:
            self._settler.post(beside.following, partial(self._posted_beside, attempt, beside))
            attempt.beside = beside
        except Exception:  # noqa: BLE001  a defect of ours: it shows again once the outcome is recorded
            _log.exception("a job that follows stage %s waits for the record", attempt.job.stage)

    def _posted_beside(self, attempt: Attempt, beside: Beside, error: MousetrapError | None) -> None:
        beside.settled(error)
        if beside.decision is not None:
            self._safely(self._decided, ([attempt], [beside.decision]))

    def _recorded(self, attempt: Attempt, decision: Decision | BaseException) -> None:
        if (beside := attempt.beside) is not None:
            beside.decision = decision
        if beside is None or beside.is_settled:
            self._decided(attempt, decision)

    def _decided(self, attempt: Attempt, decision: Decision | BaseException) -> None:
        """Acts on the store's reply, and on the queue's where what follows was posted beside the record."""
        if attempt.alone or attempt.outcome is None:
            return  # handed back meanwhile
        if decision != "recorded" and isinstance(decision, BaseException):
            self._failed(attempt, decision)
            return
        ending = self._claims.recorded(attempt, attempt.outcome, decision)
        if decision != "recorded":
            self._ends_alone(attempt, ending)
        elif isinstance(ending, Publish):
            self._follow(attempt, ending, attempt.outcome)
        elif isinstance(ending, Drop):
            self._end(attempt)
        else:
            self._ends_alone(attempt, ending)

    def _follow(self, attempt: Attempt, ending: Publish, outcome: Outcome) -> None:
        """Has the next job follow, whose outcome before it is on record."""
        if attempt.beside is not None:
            self._posted(attempt, ending, attempt.beside.error)
        elif self._goes_on(attempt, outcome):
            self._go_on(attempt, ending)
        else:
            self._settler.post(ending, partial(self._posted_after, attempt, ending))

    def _ends_alone(self, attempt: Attempt, ending: Ending) -> None:
        attempt.ending = ending
        self._go_alone(attempt)

    def _goes_on(self, attempt: Attempt, outcome: Outcome) -> bool:
        """Whether the next job begins under the attempt's deliveries. A worker that leaves begins none."""
        if not self._attempts.some_in_place or self._is_leaving or not isinstance(outcome, Done):
            return False
        if not self._attempts.serves_next(attempt):
            return False
        if isinstance(attempt.claim, Granted) and attempt.claim.lined:
            return False  # its place is kept until its own message is settled
        # Delivered again, the message must find the outcome: the store must not drop it when the next job is claimed.
        return self._claims.is_kept(outcome)

    def _go_on(self, attempt: Attempt, ending: Ending) -> None:
        """Begins the next job under the deliveries of the attempt, which is over."""
        assert isinstance(ending, Publish)
        job, queue = ending.job, ending.queue
        self._attempts.end(attempt)
        for delivery in attempt.deliveries:
            stand_in = StandIn(delivery, job, queue, self._options.keyring)
            if (following := self._attempts.begin(job, stand_in)) is not None:
                self._ask(following)
        self.soon()

    def _posted_after(self, attempt: Attempt, ending: Publish, error: MousetrapError | None) -> None:
        try:
            self._posted(attempt, ending, error)
        except Exception:  # noqa: BLE001  as above
            self._failed_itself(attempt)

    def _posted(self, attempt: Attempt, ending: Publish, error: MousetrapError | None) -> None:
        if attempt.alone:
            return  # handed back meanwhile
        if error is None:
            self._settler.published(ending)
            self._end(attempt)
        else:
            self._ends_alone(attempt, ending)

    def _end(self, attempt: Attempt) -> None:
        self._settler.acknowledge(attempt.deliveries)
        attempt.is_settled = True
        self._attempts.end(attempt)

    def _failed(self, attempt: Attempt, error: BaseException) -> None:
        if isinstance(error, RecordDamaged):  # it does not end by itself
            attempt.ending = damaged(attempt.job, error)
        self._go_alone(attempt)

    def _go_alone(self, attempt: Attempt) -> None:
        attempt.alone = True
        self._attempts.hold(attempt, True)
        self._alone(attempt)
