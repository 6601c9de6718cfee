"""Derives who had room under a limit, and since when."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from chaos.calls import by_job
from chaos.claims import Asked
from chaos.history import History
from chaos.ledger import Line
from chaos.linearizability import Operation
from chaos.workload import KINDS
from mousetrap.pipeline import AtMost


class Span(NamedTuple):
    """A job had room, and its handler ran, from one moment to another."""

    begin: float
    end: float
    job: str
    run: str


class Overfull(NamedTuple):
    """More jobs ran at one moment than there is room for."""

    kind: str
    most: int
    runs: tuple[str, ...]


def overfull(history: History) -> Iterator[Overfull]:
    """The moments at which more jobs of a limited kind ran, under leases that were known to last, than its limit has room for."""
    for kind, most in _places().items():
        spans = sorted(_spans(history, kind))
        for span in spans:
            at_work = {each.job: each.run for each in spans if each.begin <= span.begin < each.end}
            if len(at_work) > most:
                yield Overfull(kind, most, tuple(sorted(at_work.values())))


def _places() -> Mapping[str, int]:
    limits = {name: kind.pipeline.first.limit for name, kind in KINDS.items()}
    return {name: limit.most for name, limit in limits.items() if isinstance(limit, AtMost)}


def _spans(history: History, kind: str) -> Iterator[Span]:
    calls = by_job(history.calls, lambda _: False)
    begun = [line for line in history.of("begun") if line.kind == kind]
    jobs = {line.job for line in begun}
    ends = {
        (line.job, line.fence, line.worker): line.at
        for line in history.ledger
        if line.job in jobs and line.what in ("done", "failed", "stopped")
    }
    for line in begun:
        sure = _sure_until(calls.get(line.job, ()), line)
        # One that was killed has no end: its room is kept until its lease ends.
        end = min(sure, ends.get((line.job, line.fence, line.worker), sure))
        yield Span(line.at, end, line.job, line.run)


def _sure_until(calls: Sequence[Operation[Asked]], line: Line) -> float:
    """Until when this attempt had its claim for sure: its lease was renewed in time, and no other claim can have been granted."""
    until = 0.0
    for call in sorted(calls, key=lambda call: call.begin):
        if _is_mine(call.what, line):
            in_time = not until or (call.end is not None and call.end <= until)
            until = call.begin + call.what.lease if in_time else until
        elif _takes_over(call.what, line) and (call.begin < until or not until):
            return call.begin
    return until


def _is_mine(asked: Asked, line: Line) -> bool:
    granted = (asked.call, asked.answer, asked.granted) == ("claim", "Granted", line.fence)
    renewed = (asked.call, asked.answer, asked.fence) == ("renew", "kept", line.fence)
    return renewed or (granted and asked.worker == line.worker)  # a renewal names no worker


def _takes_over(asked: Asked, line: Line) -> bool:
    """Whether the claim was granted after this one, or can have been: an answer that was lost; or whether this one was given back."""
    if asked.call == "claim":
        return asked.granted > line.fence or (not asked.answer and asked.worker != line.worker)
    return asked.call == "release" and asked.fence == line.fence
