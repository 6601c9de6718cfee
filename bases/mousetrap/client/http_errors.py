"""Turns the API's problems into the client's errors: pure."""

from collections.abc import Callable, Mapping

from mousetrap.api_client import Problem
from mousetrap.client.errors import ApiRefused, UnknownPipeline, UnknownRun
from mousetrap.jobs import (
    PublishUnconfirmed,
    QueueFull,
    QueueUnreachable,
    StoreFull,
    StoreUnreachable,
    Unroutable,
)
from mousetrap.known_pipelines import NoTaker
from mousetrap.pipeline import ContractBroken, TopicInvalid
from mousetrap.run_store import RunConflict
from mousetrap.submit_run import DeadLettersFull, NotTried, OptionInvalid, RerunImpossible

#: By the problem's kind: the error of its detail.
_BY_KIND: Mapping[str, Callable[[str], Exception]] = {
    "run-conflict": RunConflict,
    "rerun-impossible": RerunImpossible,
    "unknown-pipeline": UnknownPipeline,
    "pipeline-contradicted": UnknownPipeline,
    "store-away": StoreUnreachable,
    "store-full": StoreFull,
    "broker-away": QueueUnreachable,
    "not-tried": NotTried,
    "unconfirmed": PublishUnconfirmed,
    "queue-full": QueueFull,
    "unroutable": Unroutable,
    "dead-letters-full": DeadLettersFull,
    # The API is there and has no room, or is about to leave: another try may find it.
    "stopping": StoreUnreachable,
    "too-many-batches": StoreUnreachable,
    "too-many-connections": StoreUnreachable,
    "too-many-watchers": StoreUnreachable,
    "too-many-requests": StoreUnreachable,
}
#: The options of a submission and of a list of jobs, as a problem's place names them.
_OPTIONS = frozenset(("delay", "at", "expires_in", "priority", "tags", "stage"))


def error_of(problem: Problem, run_id: str, otherwise: str) -> Exception:
    """The error of a problem about a run; `otherwise` is the text where the response was no problem of ours."""
    if problem.kind == "unknown-run":
        return UnknownRun(run_id)
    if problem.kind == "contract-broken":
        return ContractBroken(problem.detail, problem.where or "$")
    option = (problem.where or "").rpartition(".")[2]
    if problem.kind == "invalid-request" and option in _OPTIONS:
        return OptionInvalid(option, problem.detail)
    if problem.kind == "no-taker":
        return NoTaker(problem.detail, problem.taken, problem.nearest)
    if problem.kind == "invalid-request" and problem.where == "path.topic":
        return TopicInvalid(problem.detail)
    if make := _BY_KIND.get(problem.kind):
        return make(problem.detail or problem.title)
    return ApiRefused(problem.text or otherwise)
