"""Shows the workers: what each runs, and which are silent."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mousetrap.dashboard.crews import replaced
from mousetrap.dashboard.facts import Facts, Problem, Refused
from mousetrap.dashboard.view import Done, Page, PageRoute, Query, View
from mousetrap.dashboard.words import address
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


@dataclass(frozen=True, slots=True)
class Asked:
    """A form that asks before a worker drains or stops."""

    act: str
    worker: Worker
    reason: str = ""
    problem: Problem | None = None


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
    return Page(f"Worker {name}", "worker.html", await _worker(name, facts), ("state",), part="workers")


async def ask_drain(view: View, facts: Facts) -> Page:
    """Asks before it drains."""
    return await _asking("drain", view, facts)


async def ask_stop(view: View, facts: Facts) -> Page:
    """Asks before it stops."""
    return await _asking("stop", view, facts)


async def drain(view: View, form: Query, facts: Facts) -> Done | Page:
    """Has it finish what runs and take nothing new."""
    return await _ask("drain", view, form, facts)


async def stop(view: View, form: Query, facts: Facts) -> Done | Page:
    """Has it drain and end."""
    return await _ask("stop", view, form, facts)


async def resume(view: View, _: Query, facts: Facts) -> Done:
    """Has one that drains serve again."""
    await facts.send("POST", f"{_path(view)}/resume")
    return Done(_path(view), "The worker serves again, within two seconds.")


async def _ask(act: str, view: View, form: Query, facts: Facts) -> Done | Page:
    reason = form.one("reason")
    try:
        await facts.send(
            "POST", f"{_path(view)}/{act}", headers={"Mousetrap-Reason": reason} if reason else None
        )
    except Refused as refused:
        if refused.problem.where is None:
            raise
        return await _asking(act, view, facts, reason, refused.problem)
    if act == "stop":
        return Done("/workers", "The worker stops: it leaves this list once what runs has ended.")
    return Done(_path(view), "The worker drains: it finishes what runs and takes nothing new.")


async def _asking(
    act: str, view: View, facts: Facts, reason: str = "", problem: Problem | None = None
) -> Page:
    asked = Asked(act, await _worker(view.names["worker"], facts), reason, problem)
    status = 422 if problem else 200
    return Page(f"{act.capitalize()} this worker?", "worker_ask.html", asked, status=status, part="workers")


def _path(view: View) -> str:
    return address("workers", view.names["worker"])


async def _worker(name: str, facts: Facts) -> Worker:
    """The worker of this name. Raises Refused."""
    for worker in await facts.get("/workers", list[Worker]):
        if worker.name == name:
            return worker
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
    PageRoute("/workers/{worker}/drain", ask_drain, drain, needs="operate"),
    PageRoute("/workers/{worker}/resume", act=resume),
    PageRoute("/workers/{worker}/stop", ask_stop, stop, needs="operate"),
)
