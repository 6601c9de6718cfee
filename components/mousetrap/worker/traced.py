"""Gives what follows from a traced attempt its place in the trace."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from mousetrap.worker.endings import Bury, Ending, Join, Park, Publish, Several

if TYPE_CHECKING:
    from mousetrap.tracing import AttemptSpan

_Message = Publish | Bury | Join | Park


def traced(ending: Ending, span: "AttemptSpan") -> Ending:
    """The ending, whose messages carry where they were created."""
    if isinstance(ending, Several):
        return Several(tuple(_traced(each, span) for each in ending.endings))
    return _traced(ending, span) if isinstance(ending, _Message) else ending


def _traced(ending: _Message, span: "AttemptSpan") -> _Message:
    job = ending.job
    match ending:
        case Publish(after=seconds) if job.attempt > 1:
            return replace(ending, job=span.retried(job, seconds))
        case Publish(queue=queue):
            return replace(ending, job=span.followed(job, queue))
        case Bury(reason=reason):
            return replace(ending, job=span.buried(job, reason))
        case Join():  # its message is created where its fan was opened, and links to here
            return replace(ending, job=replace(job, trace=span.carried))
        case _:
            return ending
