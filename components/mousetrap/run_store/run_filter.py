"""Judges which runs a filter matches, and which hints lead to them."""

import hashlib
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from mousetrap.run_store.decode_run import StoredRun
from mousetrap.shapes import RunConditions, RunState

#: Lists of kinds of errors for each day: a bound on what hostile names of errors can take. Kinds may share one.
_ERROR_LISTS = 4_096
#: States of runs that have not ended.
_OPEN = (RunState.QUEUED, RunState.RUNNING, RunState.RETRYING)
#: States in which a run has no failure.
_WITHOUT_FAILURE = (*_OPEN, RunState.COMPLETED)
#: Ends that have a list each: all but that which nearly all runs come to.
_LISTED_ENDS = (RunState.FAILED, RunState.CANCELLED, RunState.REJECTED, RunState.EXPIRED)


#: The name that this brick and its users have for the conditions.
RunFilter = RunConditions
#: No condition.
EVERY_RUN = RunFilter()


class Hint(NamedTuple):
    """Lists that together name all runs that may match."""

    lists: tuple[str, ...] = ()
    #: What the ids of the runs begin with, where that is what the list is sorted by.
    ids: str = ""


def matches(run: StoredRun, wanted: RunFilter) -> bool:
    """Whether the filter shows the run, but for `repaired`, which its own record does not show."""
    required = (
        (_state(wanted), run.state),
        (wanted.stage, run.stage),
        (wanted.worker, run.worker),
    )
    return (
        all(asked in (None, value) for asked, value in required)
        # The pipeline of a damaged run is not known: it is in the list where it was.
        and (wanted.pipeline in (None, run.pipeline) or run.state is RunState.UNREADABLE)
        and (wanted.error is None or has_name(run.failure.kind if run.failure else "", wanted.error))
        and (wanted.tag is None or wanted.tag in run.tags)
        and (wanted.id is None or run.id.startswith(wanted.id))
    )


def never_matches(wanted: RunFilter) -> bool:
    """Whether no run can have what is wanted: a completed one has no error, and what did not fail is not repaired."""
    of_error = wanted.error is not None and wanted.state in _WITHOUT_FAILURE
    of_repair = wanted.repaired is not None and wanted.state not in (None, RunState.FAILED)
    of_time = None not in (wanted.from_ms, wanted.to_ms) and (wanted.from_ms or 0) >= (wanted.to_ms or 0)
    return of_error or of_repair or of_time


def hints_for(wanted: RunFilter, open_pipelines: Sequence[str]) -> tuple[Hint, ...]:
    """The hints of which each leads to all runs that match; the first one is there for every day."""
    pipeline, state = wanted.pipeline, _state(wanted)
    found = [every_run(pipeline)]
    if state in _OPEN:
        found.append(Hint(tuple(map(open_list, [pipeline] if pipeline else open_pipelines))))
    if state in _LISTED_ENDS:
        found.append(Hint(end_lists(state, pipeline)[-1:]))
    if wanted.error is not None:
        found.append(Hint((error_list(wanted.error),)))
    if wanted.tag is not None:
        found.append(Hint((tag_list(wanted.tag),)))
    if wanted.id is not None:
        found.append(Hint(("ids",), wanted.id))
    return tuple(found)


def narrowest(counts: Sequence[int]) -> int:
    """The place of the hint that names the fewest runs; of some that name as many, of the last."""
    return min(range(len(counts)), key=lambda place: (counts[place], -place))


def every_run(pipeline: str | None) -> Hint:
    """The list of all runs, or of a pipeline's."""
    return Hint((f"runs:{pipeline}" if pipeline else "runs",))


def open_list(pipeline: str) -> str:
    """The list of a pipeline's runs that may not have ended."""
    return f"open:{pipeline}"


#: The list of runs that live longer than the lists of the day on which they were accepted, of the day on which that was found.
KEPT = "kept"


def end_lists(state: str, pipeline: str | None) -> tuple[str, ...]:
    """The lists of runs that may have come to this end: of all, and of the pipeline's."""
    return (state, f"{state}:{pipeline}") if pipeline else (state,)


def error_list(kind: str) -> str:
    """The list of runs that an error of this kind may have ended: by its name without the module."""
    return f"error:{zlib.crc32(_raw(kind.rpartition('.')[2])) % _ERROR_LISTS}"


def tag_list(tag: str) -> str:
    """The list of runs with a tag, which can be any text."""
    return f"tag:{hashlib.blake2b(_raw(tag), digest_size=12).hexdigest()}"


def has_name(kind: str, name: str) -> bool:
    """Whether the class of an error is the one of this name, with its module or without."""
    return kind == name or kind.endswith(f".{name}")


def _state(wanted: RunFilter) -> RunState | None:
    """The one state in which runs may match; None for any."""
    return RunState.FAILED if wanted.repaired is not None else wanted.state


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
