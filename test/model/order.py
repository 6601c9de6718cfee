"""Models two stages whose outcome is recorded beside the next publish.

Two workers, one run of two stages, every order of their calls. A handler is not deterministic: its outcome is the fence it ran
under. The plain claim of the second stage is three commands (set its record, look at the run, look at the parent), and what these
do not settle is judged by one function of the store, as in `run_store/packed/claims.py` and `run_store/lua/packed/claims.lua`.
Faults: a worker dies, and its last call arrives later or never; a connection is lost, and its worker goes on; the run is cancelled.

Not modelled: locks, retries, expiry, redrives, suspects, large outputs, chains in place, the submission, and the loss of a
store's data.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

#: A worker, and how often it has died before.
Holder = tuple[int, int]
#: More copies of one message change nothing.
_COPIES = 2
_WORKERS = (0, 1)


class Breach(Exception):
    """A promise is broken."""


class Message(NamedTuple):
    """A job's message; of the second stage with the fence of the outcome that it carries, which is also that outcome."""

    stage: int = 1
    fence: int = 0


class Record(NamedTuple):
    """What the store has of a job."""

    state: Literal["running", "done"]
    fence: int
    holder: Holder
    #: Of the second stage, done: the outcome of the first that it was made of.
    made_of: int = 0


class At(NamedTuple):
    """Where a worker is."""

    step: str = "idle"
    message: Message = Message()
    redelivered: bool = False
    fence: int = 0
    recorded: bool = False
    published: bool = False
    #: Whether the run was cancelled when it was looked at.
    cancelled: bool = False


class Call(NamedTuple):
    """A call to store or broker of a worker that died."""

    name: str
    holder: Holder
    message: Message
    fence: int


class State(NamedTuple):
    """All that there is."""

    first: Record | None = None
    second: Record | None = None
    cancelled: bool = False
    #: In the queues, each with whether it is redelivered.
    ready: tuple[tuple[Message, bool], ...] = ((Message(), False),)
    #: Delivered and not settled, each with its worker.
    held: tuple[tuple[int, Message], ...] = ()
    workers: tuple[At, ...] = (At(), At())
    late: tuple[Call, ...] = ()
    lives: tuple[int, ...] = (0, 0)
    faults: int = 0


Steps = Iterator[tuple[str, State]]


@dataclass(frozen=True)
class Order:
    """The rules; each can be taken out, so that the check can fail."""

    #: Whether an outcome is published while it is being recorded, or only after.
    beside: bool = True
    #: Whether the claim of the second stage looks at its parent's record.
    looks_at_parent: bool = True
    #: Whether it compares the fence in that with the one in its message.
    compares_fences: bool = True

    def steps(self, state: State) -> Steps:
        """All that can happen next, each with its name; faults have theirs in capitals. Raises Breach."""
        for worker in _WORKERS:
            at = state.workers[worker]
            yield from _STEPS[at.step](self, state, worker, at)
            if state.faults and at.step != "idle":
                yield "A WORKER DIES", self._died(state, worker, at)
                if (worker, at.message) in state.held:
                    yield "A CONNECTION IS LOST", _back(state, worker, at.message, True, faults=1)
        for call in set(state.late):
            rest = _without(state.late, call)
            yield f"late: {call.name}", self._arrived(state._replace(late=rest), call)
            yield f"never: {call.name}", state._replace(late=rest)
        if state.faults and not state.cancelled and not _is_done(state.second):
            yield "THE RUN IS CANCELLED", state._replace(cancelled=True, faults=state.faults - 1)

    # What a worker does

    def _take(self, state: State, worker: int, _: At) -> Steps:
        for message, redelivered in set(state.ready):
            step = "claim" if message.stage == 1 else "set"
            taken = state._replace(
                ready=_without(state.ready, (message, redelivered)),
                held=tuple(sorted((*state.held, (worker, message)))),
            )
            yield f"{worker} takes {message}", _at(taken, worker, At(step, message, redelivered))

    def _claim(self, state: State, worker: int, at: At) -> Steps:
        first = state.first
        if state.cancelled:
            yield "over", _dropped(state, worker, at)
        elif first is not None and first.state == "done":
            decided = at._replace(step="settle", fence=first.fence, recorded=True)
            yield "decided", _at(state, worker, decided)
        elif first is None or at.redelivered or _is_dead(state, first.holder):
            fence = first.fence + 1 if first else 1
            granted = state._replace(first=Record("running", fence, _me(state, worker)))
            yield "granted", _at(granted, worker, at._replace(step="run", fence=fence))
        else:
            yield "busy", _at(_back(state, worker, at.message, at.redelivered), worker, At())

    def _run(self, state: State, worker: int, at: At) -> Steps:
        yield "the handler ends", _at(state, worker, at._replace(step="settle"))

    def _settle(self, state: State, worker: int, at: At) -> Steps:
        if not at.recorded:
            yield self._record(state, worker, at)
        if not at.published and (self.beside or at.recorded):
            sent = state._replace(ready=_put(state.ready, Message(2, at.fence)))
            yield "published", _at(sent, worker, at._replace(published=True))
        if at.recorded and at.published:
            yield "acknowledged", _dropped(state, worker, at)

    def _record(self, state: State, worker: int, at: At) -> tuple[str, State]:
        first = state.first
        if state.cancelled:
            return "over", _dropped(state, worker, at)
        if first is None or first.fence != at.fence:
            return "stale", _given_back(state, worker, at)
        if first.state == "running" and first.holder != _me(state, worker):
            raise Breach("two holders have one fence")
        recorded = state._replace(first=first._replace(state="done"))
        return "recorded", _at(recorded, worker, at._replace(recorded=True))

    def _set(self, state: State, worker: int, at: At) -> Steps:
        if state.second is not None:
            yield "not set", _at(state, worker, at._replace(step="judge"))
        else:
            there = state._replace(second=Record("running", 1, _me(state, worker)))
            yield "set", _at(there, worker, at._replace(step="look at the run", fence=1))

    def _look_at_run(self, state: State, worker: int, at: At) -> Steps:
        seen = at._replace(step="look at the parent", cancelled=state.cancelled)
        yield "looked at the run", _at(state, worker, seen)

    def _look_at_parent(self, state: State, worker: int, at: At) -> Steps:
        first = state.first
        follows = first is None or (_is_done(first) and self._agrees(first, at.message))
        plain = not at.cancelled and (follows or not self.looks_at_parent)
        # What was set is judged with the rest: the function takes it back first.
        step = "start" if plain else "judge"
        yield "looked at the parent", _at(state, worker, at._replace(step=step))

    def _judge(self, state: State, worker: int, at: At) -> Steps:
        judged, verdict = self._judged(state, _me(state, worker), at)
        if verdict == "busy":
            yield verdict, _at(_back(judged, worker, at.message, at.redelivered), worker, At())
        elif verdict == "over":
            yield verdict, _dropped(judged, worker, at)
        else:
            assert judged.second is not None
            yield verdict, _at(judged, worker, at._replace(step="start", fence=judged.second.fence))

    def _judged(self, state: State, holder: Holder, at: At) -> tuple[State, str]:
        """The function of the store, in one step; `at.fence` is what the plain claim has set, if it has."""
        second = state.second
        if at.fence and second == Record("running", at.fence, holder):
            second = None
        state = state._replace(second=second)
        if state.cancelled or _is_done(second):
            return state, "over"
        if self.looks_at_parent and state.first is not None:
            if not self._agrees(state.first, at.message):
                return state, "over"
            # The claim implies the decision: it was made, and its record is still under way.
            state = state._replace(first=state.first._replace(state="done"))
        if second is not None and not at.redelivered and not _is_dead(state, second.holder):
            return state, "busy"
        fence = second.fence + 1 if second else 1
        return state._replace(second=Record("running", fence, holder)), "granted"

    def _agrees(self, first: Record, message: Message) -> bool:
        return first.fence == message.fence or not self.compares_fences

    def _start(self, state: State, worker: int, at: At) -> Steps:
        first = state.first
        if first is None or (first.state, first.fence) != ("done", at.message.fence):
            raise Breach(f"the second stage starts on {at.message}, and the store has {first}")
        yield "the second handler ends", _at(state, worker, at._replace(step="finish"))

    def _finish(self, state: State, worker: int, at: At) -> Steps:
        mine = Record("running", at.fence, _me(state, worker))
        if state.cancelled or _is_done(state.second):
            yield "over", _dropped(state, worker, at)
        elif state.second == mine:
            done = state._replace(second=mine._replace(state="done", made_of=at.message.fence))
            yield "finished", _dropped(done, worker, at)
        else:
            yield "stale", _given_back(state, worker, at)

    # Faults

    def _died(self, state: State, worker: int, at: At) -> State:
        names = {"claim": ["claim"], "set": ["set"], "judge": ["judge"], "finish": ["finish"]}.get(
            at.step, []
        )
        if at.step == "settle":
            unpublished = not at.published and (self.beside or at.recorded)
            names = ["record"] * (not at.recorded) + ["publish"] * unpublished
        calls = [Call(name, _me(state, worker), at.message, at.fence) for name in names]
        for holder, message in state.held:
            if holder == worker:
                state = _back(state, worker, message, True)
        lives = tuple(life + (each == worker) for each, life in zip(_WORKERS, state.lives, strict=True))
        late = tuple(sorted((*state.late, *calls)))
        return _at(state._replace(late=late, lives=lives, faults=state.faults - 1), worker, At())

    def _arrived(self, state: State, call: Call) -> State:
        """A call of a worker that died has its effect, and its reply is lost."""
        first, second = state.first, state.second
        running = Record("running", call.fence, call.holder)
        if call.name == "publish":
            return state._replace(ready=_put(state.ready, Message(2, call.fence)))
        if call.name == "judge":
            return self._judged(state, call.holder, At("judge", call.message, False, call.fence))[0]
        if call.name == "claim" and first is None and not state.cancelled:
            return state._replace(first=running._replace(fence=1))
        if call.name == "set" and second is None:
            return state._replace(second=running._replace(fence=1))
        if call.name == "record" and first == running and not state.cancelled:
            return state._replace(first=running._replace(state="done"))
        if call.name == "finish" and second == running and not state.cancelled:
            return state._replace(second=running._replace(state="done", made_of=call.message.fence))
        return state


_STEPS: dict[str, Callable[[Order, State, int, At], Steps]] = {
    "idle": Order._take,
    "claim": Order._claim,
    "run": Order._run,
    "settle": Order._settle,
    "set": Order._set,
    "look at the run": Order._look_at_run,
    "look at the parent": Order._look_at_parent,
    "judge": Order._judge,
    "start": Order._start,
    "finish": Order._finish,
}


def ends_well(state: State) -> bool:
    """Whether nothing is left to do, and the run is as it must be then."""
    if state.ready or state.held or state.late or any(at.step != "idle" for at in state.workers):
        return False
    first, second = state.first, state.second
    if state.cancelled or first is None or second is None:
        return state.cancelled
    return _is_done(first) and _is_done(second) and second.made_of == first.fence


def check_change(before: State, after: State) -> None:
    """Raises Breach where a decision is changed."""
    for name, old, new in (
        ("first", before.first, after.first),
        ("second", before.second, after.second),
    ):
        if _is_done(old) and new != old:
            raise Breach(f"the {name} stage was decided twice: {old}, then {new}")


def _is_done(record: Record | None) -> bool:
    return record is not None and record.state == "done"


def _is_dead(state: State, holder: Holder) -> bool:
    """Whether the claim of the holder has ended, as it does in time."""
    worker, life = holder
    return state.lives[worker] != life


def _me(state: State, worker: int) -> Holder:
    return worker, state.lives[worker]


def _at(state: State, worker: int, at: At) -> State:
    workers = list(state.workers)
    workers[worker] = at
    return state._replace(workers=tuple(workers))


def _put(
    ready: tuple[tuple[Message, bool], ...], message: Message, redelivered: bool = False
) -> tuple[tuple[Message, bool], ...]:
    if sum(each == message for each, _ in ready) >= _COPIES:
        return ready
    return tuple(sorted((*ready, (message, redelivered))))


def _without(items: tuple[Any, ...], item: object) -> tuple[Any, ...]:
    left = list(items)
    left.remove(item)
    return tuple(left)


def _back(state: State, worker: int, message: Message, redelivered: bool, *, faults: int = 0) -> State:
    """The worker's message is in its queue again."""
    return state._replace(
        held=_without(state.held, (worker, message)) if (worker, message) in state.held else state.held,
        ready=_put(state.ready, message, redelivered),
        faults=state.faults - faults,
    )


def _given_back(state: State, worker: int, at: At) -> State:
    """The message comes again later; where its connection was lost it does so without this."""
    if (worker, at.message) in state.held:
        state = _back(state, worker, at.message, False)
    return _at(state, worker, At())


def _dropped(state: State, worker: int, at: At) -> State:
    """The worker is done with its message, and settles it if it still can."""
    if (worker, at.message) in state.held:
        state = state._replace(held=_without(state.held, (worker, at.message)))
    return _at(state, worker, At())
