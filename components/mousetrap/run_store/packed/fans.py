"""Names the places of jobs in fans, for the store's functions."""

from mousetrap.jobs import Job
from mousetrap.run_store.packed.transitions import InFan
from mousetrap.run_store.transitions import Transition


def is_child(job: Job) -> bool:
    """Whether the job is a child of its parent, and does not follow from one."""
    return bool(job.fans) and job.fans[-1].job == job.parent


def fans_text(job: Job) -> str:
    """The places of the job: parents and indexes in turn, outermost first."""
    return " ".join(f"{place.job} {place.index}" for place in job.fans)


def in_fans(job: Job, transition: Transition, joins: bool = False) -> Transition:
    """The transition of the job, with its places where it has some. With `joins` its way through the innermost fan ends with it."""
    return InFan(job.id, job.run_id, fans_text(job), joins, transition) if job.fans else transition


def needed(need: float) -> tuple[float, int]:
    """What a join needs, as a share and, where that is not -1, as a number."""
    return (1.0, need) if isinstance(need, int) else (need, -1)
