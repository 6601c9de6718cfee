"""Pipelines of fan-outs and forks that Hypothesis draws, and their handlers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from mousetrap.handlers import Context
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline, Stage, needed
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
MOST_STAGES = 12
GRAPH_QUEUES = [f"q_graph_{number}" for number in range(MOST_STAGES)]
#: Kinds of runs of the drawn pipeline. In a lossy run the first child of each fan-out is given up.
GRAPH_KINDS = ("graph", "graph_slow", "graph_flaky", "graph_lossy")
#: The place of what comes behind a fan-out without children.
UNKNOWN = -1
_WORK_S = 0.05
_SLOW_S = 10.0


class Step(NamedTuple):
    """One stage."""


class FanOut(NamedTuple):
    """So many children, each of which goes through the parts, and the share of them that their join needs."""

    children: int
    need: float
    parts: tuple["Part", ...]


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


def _parts(inner: st.SearchStrategy[Part], most: int) -> st.SearchStrategy[Parts]:
    return st.lists(inner, min_size=1, max_size=most).map(tuple)


_STEP: st.SearchStrategy[Part] = st.just(Step())


def _part(inner: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    counts, needs = st.integers(0, 3), st.sampled_from((1.0, 0.5))
    fan_out = st.builds(FanOut, counts, needs, _parts(inner, 2))
    return st.one_of(fan_out, st.builds(Fork, _parts(inner, 2), _parts(inner, 1)))


#: Graphs with a fan-out or a fork, and at most one within another.
graphs = (
    st.one_of(_part(_STEP), _part(st.one_of(_STEP, _part(_STEP))))
    .map(lambda part: (part,))
    .filter(lambda parts: _size(parts) < MOST_STAGES)
)


def _size(parts: Parts) -> int:
    """How many stages they have."""
    size = 0
    for part in parts:
        match part:
            case FanOut(parts=inner):
                size += 2 + _size(inner)
            case Fork(left, right):
                size += 2 + _size(left) + _size(right)
            case _:
                size += 1
    return size


class Drawn:
    """A drawn graph as a pipeline with its handlers."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.handlers: dict[str, Callable[..., Any]] = {}
        self._stages: list[Stage] = []
        self._lay((*parts, Step()), None)
        self.pipeline = Pipeline(name="drawn", description="As it is drawn.", stages=tuple(self._stages))

    def breaks(self, kind: str) -> bool:
        """Whether a run of this kind fails where nothing else happens to it."""
        return kind == "graph_lossy" and any(map(_breaks, self.parts))

    def _lay(self, parts: Parts, after: Any) -> str:
        """Appends the stages of these parts, the first one of which follows `after`; the name of the last."""
        for part in parts:
            match part:
                case FanOut(children, need, inner):
                    opener = self._add(Piece, Many[Piece], after, _spread(children))
                    last = self._lay(inner, Each(opener))
                    after = self._add(Gathered[Piece], Piece, All(last, need=need), _gather(children, need))
                case Fork(left, right):
                    opener = self._add(Piece, Piece, after, do)
                    lasts = [self._lay(each, opener) for each in (left, right)]
                    both = msgspec.defstruct("Both", [(name, Piece) for name in lasts], frozen=True)
                    after = self._add(both, Piece, All(*lasts), _meet)
                case _:
                    after = self._add(Piece, Piece, after, do)
        return str(after)

    def _add(self, takes: Any, gives: Any, after: Any, handler: Callable[..., Any]) -> str:
        number = len(self._stages)
        policy = RetryPolicy(
            attempts=TRIES, base=1.0, cap=1.0, dont_retry_on=(PermanentError,), crashes=CRASHES
        )
        stage = Stage(
            name=f"s{number}",
            queue=GRAPH_QUEUES[number],
            input=takes,
            output=gives,
            retry=policy,
            after=after,
        )
        self._stages.append(stage)
        self.handlers[stage.name] = handler
        return stage.name


def _breaks(part: Part) -> bool:
    """Whether it fails though only the first child of each fan-out is given up."""
    match part:
        case FanOut(children, need, inner):
            done = 0 if any(map(_breaks, inner)) else max(0, children - 1)
            return done < needed(need, children)
        case Fork(left, right):
            return any(map(_breaks, (*left, *right)))
        case _:
            return False


async def do(given: Piece, context: Context[Dependencies]) -> Piece:
    """The handler of a stage with one input and one output."""
    await _effect(given, context)
    return given


def _spread(children: int) -> Callable[..., Any]:
    async def spread(given: Piece, context: Context[Dependencies]) -> AsyncIterator[Piece]:
        for index in range(children):
            yield Piece(given.kind, (*given.path, index))
            await asyncio.sleep(0.01)
        await _effect(given, context)

    return spread


def _gather(children: int, need: float) -> Callable[..., Any]:
    async def gather(given: Gathered[Piece], context: Context[Dependencies]) -> Piece:
        found = [(index, piece) async for index, piece in given]
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
        kind = context.deps.ledger.facts[context.run_id].kind
        piece = Piece(kind, path)
        await _effect(piece, context)
        return piece

    return gather


async def _meet(given: Any, context: Context[Dependencies]) -> Piece:
    pieces: set[Piece] = {getattr(given, name) for name in given.__struct_fields__}
    known = {piece for piece in pieces if UNKNOWN not in piece.path}
    if len(known) > 1:
        context.deps.ledger.wrong.append(f"{context.run_id}.{context.stage} joined {pieces}")
    piece = next(iter(known or pieces))
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
        await asyncio.sleep(_SLOW_S if given.kind == "graph_slow" else _WORK_S)
        if not facts.redriven and given.path and given.path[-1] == 0:
            if given.kind == "graph_lossy":
                raise PermanentError("this child will never work")
            if given.kind == "graph_flaky" and context.attempt < TRIES:
                raise TransientError("try again later")
        await deps.process.point(f"has an effect for {where}#{context.attempt}")
        deps.ledger.effect(context.idempotency_key, context.run_id, place, context.fence)
        deps.ledger.ends(call)
    finally:
        call.over = True
