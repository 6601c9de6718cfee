"""Shows the workers: what each runs, and which are silent."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mousetrap.dashboard.crews import replaced
from mousetrap.dashboard.facts import Facts, Problem, Refused
from mousetrap.dashboard.view import Page, PageRoute, View
from mousetrap.shapes import Worker

#: Workers of one page, and queues that are listed as not served.
_WORKERS, _UNSERVED = 50, 20
#: The states in which a worker takes jobs, or will once its broker is back; as in the API.
_SERVE = ("serving", "waiting", "stuck")


@dataclass(frozen=True, slots=True)
class StageOf:
    """A stage and its queue."""

    name: str
    queue: str


@dataclass(frozen=True, slots=True)
class Staged:
    """A pipeline without its contracts."""

    name: str
    stages: tuple[StageOf, ...]


@dataclass(frozen=True, slots=True)
class Mixed:
    """A queue whose workers have several versions."""

    queue: str
    #: How many workers have it, by version, the most frequent first.
    versions: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Workers:
    """What the list shows."""

    workers: tuple[Worker, ...]
    #: Stages that no worker serves, by their queue, and queues that have no room.
    unserved: tuple[tuple[str, tuple[str, ...]], ...]
    more_unserved: int
    mixed: tuple[Mixed, ...]
    #: What is selected; what is before this page, and how many there are in all.
    state: str
    queue: str
    start: int
    count: int
    states: tuple[tuple[str, int], ...]
    #: Silent ones that others have replaced.
    replaced: frozenset[str]
    most: int = _WORKERS


async def show_all(view: View, facts: Facts) -> Page:
    """The workers that the address selects, silent ones first."""
    every = await facts.get("/workers", list[Worker])
    pipelines = await facts.get("/pipelines", list[Staged])
    state, queue = view.query.one("state"), view.query.one("queue")
    found = [it for it in every if state in ("", it.state) and (not queue or queue in it.queues)]
    gone = replaced(every)
    found.sort(key=lambda it: (it.state not in ("stale", "stuck") or it.name in gone, it.name))
    start = view.query.place("start")
    unserved = list(_unserved(pipelines, every))
    data = Workers(
        workers=tuple(found[start : start + _WORKERS]),
        unserved=tuple(unserved[:_UNSERVED]),
        more_unserved=max(0, len(unserved) - _UNSERVED),
        mixed=tuple(_mixed(every))[:_UNSERVED],
        state=state,
        queue=queue,
        start=start,
        count=len(found),
        states=tuple(sorted(Counter(it.state for it in every).items())),
        replaced=gone,
    )
    return Page("Workers", "workers.html", data, ("list",), part="workers")


async def show(view: View, facts: Facts) -> Page:
    """One worker and what it runs."""
    name = view.names["worker"]
    for worker in await facts.get("/workers", list[Worker]):
        if worker.name == name:
            return Page(f"Worker {name}", "worker.html", worker, ("state",), part="workers")
    detail = (
        f"{name[:200]} has left, or was silent for more than an hour; its runs went on with other workers"
    )
    raise Refused(Problem(status=404, title="There is no such worker", detail=detail))


def _unserved(
    pipelines: Iterable[Staged], workers: Iterable[Worker]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Known by the beats alone: the page needs no broker."""
    served = {stage for it in workers if it.state in _SERVE for stage in it.stages}
    found: dict[str, list[str]] = {}
    for pipeline in pipelines:
        for stage in pipeline.stages:
            if (name := f"{pipeline.name}.{stage.name}") not in served:
                found.setdefault(stage.queue, []).append(name)
    yield from ((queue, tuple(stages)) for queue, stages in sorted(found.items()))


def _mixed(workers: Iterable[Worker]) -> Iterator[Mixed]:
    found: dict[str, Counter[str]] = {}
    for worker in workers:
        if worker.state != "stale":
            for queue in worker.queues:
                found.setdefault(queue, Counter())[worker.version] += 1
    yield from (Mixed(queue, tuple(it.most_common())) for queue, it in sorted(found.items()) if len(it) > 1)


ROUTES = (
    PageRoute("/workers", show_all),
    PageRoute("/workers/{worker}", show),
)
