"""Pipelines of fan-outs and forks that Hypothesis draws, and their handlers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, Literal, NamedTuple

import msgspec
from hypothesis import strategies as st

from mousetrap.handlers import Context
from mousetrap.pipeline import (
    All,
    AnyOf,
    Each,
    Fallback,
    Fallen,
    Gathered,
    Lock,
    Many,
    Pipeline,
    Stage,
    needed,
)
from mousetrap.pipeline.after import After
from mousetrap.retry import RetryPolicy
from simulation.handlers import (
    CRASHES,
    TRIES,
    Dependencies,
    PermanentError,
    TransientError,
    handler_call,
)

#: Stages of a drawn pipeline at most, each with a queue of its own.
MOST_STAGES = 16
GRAPH_QUEUES = [f"q_graph_{number}" for number in range(MOST_STAGES)]
#: Kinds of runs of the drawn pipeline. In a lossy run the first child of each fan-out is given up.
GRAPH_KINDS = ("graph", "graph_slow", "graph_flaky", "graph_lossy", "graph_expiring")
#: The place of what comes behind a fan-out without children, or a job that was skipped.
UNKNOWN = -1
_WORK_S = 0.05
_LONG_WORK_S = {"graph_slow": 10.0, "graph_expiring": 4.0}


class Step(NamedTuple):
    """One stage; with what follows where its job is given up, and whether it has a lock."""

    on_failure: Literal["fail", "skip", "skip_after", "fallback"] = "fail"
    locked: bool = False


class FanOut(NamedTuple):
    """So many children, each of which goes through the parts, and the share of them that their join needs.

    With the seconds that they may take, and whether the join takes their outputs.
    """

    children: int
    need: float
    parts: tuple["Part", ...]
    within: float | None = None
    keep: bool = True


class Fork(NamedTuple):
    """Two branches with the same output."""

    left: tuple["Part", ...]
    right: tuple["Part", ...]


Part = Step | FanOut | Fork
Parts = tuple[Part, ...]


class Piece(msgspec.Struct, frozen=True):
    """What goes from stage to stage: which child of which it is of, outermost first, and the kind of its run."""

    kind: str
    path: tuple[int, ...] = ()
    #: Whether a fallback has taken it over.
    saved: bool = False


class Before(NamedTuple):
    """What a stage follows, and what it takes from there."""

    after: After | None
    gives: Any


def _parts(inner: st.SearchStrategy[Part], most: int) -> st.SearchStrategy[Parts]:
    return st.lists(inner, min_size=1, max_size=most).map(tuple)


_STEPS: st.SearchStrategy[Part] = st.builds(
    Step,
    st.sampled_from(("fail", "fail", "skip", "skip_after", "fallback")),
    st.sampled_from((False, False, True)),
)


def _part(inner: st.SearchStrategy[Part], most: int = 3) -> st.SearchStrategy[Part]:
    counts, needs = st.integers(0, most), st.sampled_from((1.0, 0.5, 0.0, 2))
    times, keeps = st.sampled_from((None, None, None, 3.0)), st.sampled_from((True, True, False))
    fan_out = st.builds(FanOut, counts, needs, _parts(inner, 2), times, keeps)
    return st.one_of(fan_out, st.builds(Fork, _parts(inner, 2), _parts(inner, 1)))


_FLAT = _part(_STEPS)
_NESTED = _part(st.one_of(_STEPS, _FLAT))
#: Graphs with a fan-out or a fork, and at most two more inside it, one in the other.
graphs = (
    st.one_of(_part(_STEPS, 9), _NESTED, _part(st.one_of(_STEPS, _NESTED)))
    .flatmap(
        lambda part: st.sampled_from(
            ((part,), *((Step(first), part) for first in ("fallback", "skip", "skip_after")))
        )
    )
    .filter(lambda parts: _size(parts) < MOST_STAGES)
)


def _size(parts: Parts) -> int:
    """How many stages they have at most."""
    size = 0
    for part in parts:
        match part:
            case FanOut(parts=inner):
                size += 2 + _size(inner)
            case Fork(left, right):
                size += 4 + _size(left) + _size(right)
            case Step(on_failure="fallback"):
                size += 2
            case _:
                size += 1
    return size


class Drawn:
    """A drawn graph as a pipeline with its handlers."""

    def __init__(self, parts: Parts, *, in_place: bool = False, locks: bool = True) -> None:
        self.parts = parts
        self.handlers: dict[str, Callable[..., Any]] = {}
        self._locks = locks
        self._stages: list[Stage] = []
        self._lay((*parts, Step()), Before(None, Piece))
        self.pipeline = Pipeline(
            name="drawn", description="As it is drawn.", stages=tuple(self._stages), in_place=in_place
        )

    def breaks(self, kind: str) -> bool:
        """Whether a run of this kind fails where nothing else happens to it."""
        return kind == "graph_lossy" and any(map(_breaks, self.parts))

    @property
    def bounded(self) -> bool:
        """Whether a run may fail because its jobs were late."""
        return any(fan.within is not None for fan in self.pipeline.fans)

    @property
    def may_end(self) -> bool:
        """Whether a run may end before its last stage, with null."""
        return _may_end(self.parts)

    def _lay(self, parts: Parts, before: "Before") -> "Before":
        """Appends the stages of these parts, which follow `before`; the last one's place for what follows them."""
        for part in parts:
            match part:
                case FanOut(children, need, inner, within, keep):
                    opener = self._add(before, Many[Piece], _spread(children))
                    last = self._lay(inner, Before(Each(opener), Piece))
                    time = None if within is None else timedelta(seconds=within)
                    ends = All(last.after, need=need, within=time, keep=keep)  # type: ignore[arg-type]  # a name, or AnyOf
                    taken = _or_null(last.gives, inner) if keep else None
                    before = self._follow(Before(ends, _gathered(taken)), _gather(children, need))
                case Fork(left, right):
                    opener = self._add(before, Piece, do)
                    ways = [self._met(self._lay(each, Before(opener, Piece))) for each in (left, right)]
                    names = [str(way.after) for way in ways]
                    both = msgspec.defstruct(
                        "Both",
                        [
                            (name, _or_null(way.gives, parts))
                            for name, way, parts in zip(names, ways, (left, right), strict=True)
                        ],
                        frozen=True,
                    )
                    before = self._follow(Before(All(*names), both), _meet)
                case Step():
                    before = self._step(part, before)
        return before

    def _met(self, before: "Before") -> "Before":
        """A join of a fork names one stage of each branch, so branches in it meet before."""
        return self._follow(before, do) if isinstance(before.after, AnyOf) else before

    def _step(self, part: Step, before: "Before") -> "Before":
        lock = Lock(name="gate") if part.locked and self._locks else None
        if part.on_failure == "skip":
            return Before(self._add(before, Piece, do, lock=lock, on_failure="skip"), Piece | None)
        if part.on_failure == "skip_after":
            return self._follow(before, do, lock=lock, on_failure="skip_after")
        if part.on_failure == "fail":
            return self._follow(before, do, lock=lock)
        fallback = f"s{len(self._stages) + 1}"
        name = self._add(before, Piece, do, lock=lock, on_failure=Fallback(fallback))
        self._add(Before(None, _fallen(before.gives)), Piece, _save)
        return Before(AnyOf(name, fallback), Piece)

    def _follow(self, before: "Before", handler: Callable[..., Any], **more: Any) -> "Before":
        return Before(self._add(before, Piece, handler, **more), Piece)

    def _add(self, before: "Before", gives: Any, handler: Callable[..., Any], **more: Any) -> str:
        number = len(self._stages)
        policy = RetryPolicy(
            attempts=TRIES, base=1.0, cap=1.0, dont_retry_on=(PermanentError,), crashes=CRASHES
        )
        stage = Stage(
            name=f"s{number}",
            queue=GRAPH_QUEUES[number],
            input=before.gives,
            output=gives,
            retry=policy,
            after=before.after,
            **more,
        )
        self._stages.append(stage)
        self.handlers[stage.name] = handler
        return stage.name


def _may_end(parts: Parts) -> bool:
    """Whether a way through these parts may end before the last of them."""
    return any(isinstance(part, Step) and part.on_failure == "skip_after" for part in parts)


def _or_null(gives: Any, parts: Parts) -> Any:
    return gives | None if _may_end(parts) else gives


def _gathered(taken: Any) -> Any:
    return Gathered[taken]


def _fallen(taken: Any) -> Any:
    return Fallen[taken]


def _breaks(part: Part) -> bool:
    """Whether it fails though only the first child of each fan-out is given up, where nothing takes that over."""
    match part:
        case FanOut(children, need, inner):
            first = inner[0].on_failure if isinstance(inner[0], Step) else "fail"
            done = children if first != "fail" else max(0, children - 1)
            if any(map(_breaks, inner)):  # the first child has ended before that
                done = min(children, 1) if first == "skip_after" else 0
            return done < needed(need, children)
        case Fork(left, right):
            return any(map(_breaks, (*left, *right)))
        case _:
            return False


async def do(given: Piece | None, context: Context[Dependencies]) -> Piece:
    """The handler of a stage with one input and one output."""
    piece = _known(given, context)
    await _effect(piece, context)
    return piece


async def _save(given: Fallen[Any], context: Context[Dependencies]) -> Piece:
    """The handler of a fallback."""
    piece = msgspec.structs.replace(_known(given.input, context), saved=True)
    await _effect(piece, context)
    return piece


def _known(given: Piece | None, context: Context[Dependencies]) -> Piece:
    """What a stage takes; behind a job that was skipped, of which child it is shows in nothing but the job."""
    return given or Piece(context.deps.ledger.facts[context.run_id].kind, (UNKNOWN,))


def _spread(children: int) -> Callable[..., Any]:
    async def spread(given: Piece | None, context: Context[Dependencies]) -> AsyncIterator[Piece]:
        piece = _known(given, context)
        for index in range(children):
            yield Piece(piece.kind, (*piece.path, index))
            await asyncio.sleep(0.01)
        await _effect(piece, context)

    return spread


def _gather(children: int, need: float) -> Callable[..., Any]:
    async def gather(given: Gathered[Piece | None], context: Context[Dependencies]) -> Piece:
        found = [(index, _known(piece, context)) async for index, piece in given]
        wrong = context.deps.ledger.wrong
        where = f"{context.run_id}.{context.stage}"
        if given.total != children or len(found) != given.done or given.done + given.lost != given.total:
            wrong.append(f"{where} of {children} children got {len(found)}, as {given!r}")
        if given.done < needed(need, children):
            wrong.append(f"{where} began with too few children, as {given!r}")
        # Behind a fan-out without children, which child it is of shows in nothing but the job.
        known = [(index, piece.path) for index, piece in found if UNKNOWN not in piece.path]
        if any(path[-1] != index for index, path in known):
            wrong.append(f"{where} got the outputs {known}")
        path = known[0][1][:-1] if known else (UNKNOWN,)
        if {other[:-1] for _, other in known} - {path}:
            wrong.append(f"{where} got outputs of several fans: {known}")
        # A first child that comes so far was taken over by a fallback: it is not to be given up once more.
        piece = Piece(context.deps.ledger.facts[context.run_id].kind, path, saved=True)
        await _effect(piece, context)
        return piece

    return gather


async def _meet(given: Any, context: Context[Dependencies]) -> Piece:
    pieces = [_known(getattr(given, name), context) for name in given.__struct_fields__]
    known = [piece for piece in pieces if UNKNOWN not in piece.path]
    if len({piece.path for piece in known}) > 1:
        context.deps.ledger.wrong.append(f"{context.run_id}.{context.stage} joined {pieces}")
    piece = (known or pieces)[0]
    await _effect(piece, context)
    return piece


async def _effect(given: Piece, context: Context[Dependencies]) -> None:
    deps = context.deps
    place = f"{context.stage}{context.job_id if UNKNOWN in given.path else list(given.path)}"
    where = f"{context.run_id}.{place}"
    await deps.process.point(f"begins {where}#{context.attempt} under fence {context.fence}")
    call = handler_call(context)
    deps.ledger.begins(call)
    facts = deps.ledger.facts[context.run_id]
    try:
        await asyncio.sleep(_LONG_WORK_S.get(given.kind, _WORK_S))
        if not facts.redriven and given.path and given.path[-1] == 0 and not given.saved:
            if given.kind == "graph_lossy":
                raise PermanentError("this child will never work")
            if given.kind == "graph_flaky" and context.attempt < TRIES:
                raise TransientError("try again later")
        await deps.process.point(f"has an effect for {where}#{context.attempt}")
        deps.ledger.effect(context.idempotency_key, context.run_id, place, context.fence)
        deps.ledger.ends(call)
    finally:
        call.over = True
