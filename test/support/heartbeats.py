"""Makes a worker's heartbeat for tests."""

from mousetrap.shapes import Beat, Doing, WorkerState


def a_heartbeat(
    name: str = "w1", *, state: WorkerState = "serving", done: int = 3, doing: tuple[Doing, ...] = ()
) -> Beat:
    return Beat(
        name=name,
        host="here",
        pid=7,
        version="1",
        stages=("earthquakes.fetch",),
        queues=("start_fetch",),
        concurrency=10,
        state=state,
        done=done,
        failed=1,
        running=len(doing),
        doing=doing,
    )
