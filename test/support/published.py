"""Publishes pipelines as workers do, for tests."""

from collections.abc import Sequence

from mousetrap.pipeline import Pipeline, Stage, write_manifests
from mousetrap.schedules import Schedule
from mousetrap.signing import Keyring
from mousetrap.worker_registry import Published, open_registry
from support.heartbeats import a_heartbeat


def a_pipeline(
    name: str = "words", *, queue: str = "texts", contract: object = str, **more: object
) -> Pipeline:
    """Two stages, `count` and `keep`, the first with this queue and input."""
    stages = (
        Stage(name="count", queue=queue, input=contract, output=dict[str, int]),
        Stage(name="keep", queue=f"{queue}_kept", input=dict[str, int], output=int),
    )
    return Pipeline(name=name, description="", stages=stages, **more)  # type: ignore[arg-type]


async def beat(
    url: str,
    worker: str,
    *pipelines: Pipeline,
    keyring: Keyring | None = None,
    schedules: Sequence[Schedule] = (),
) -> Published:
    """A beat of a worker with these pipelines, and with schedules of them."""
    own = {each.name: [it for it in schedules if it.pipeline == each.name] for each in pipelines}
    manifests = write_manifests({each.name: each for each in pipelines}, own)
    published = Published.of(manifests, keyring or Keyring())
    async with open_registry(url, published=published) as registry:
        await registry.beat(a_heartbeat(worker))
    return published


async def leave(url: str, worker: str) -> None:
    """The worker's end in order."""
    async with open_registry(url) as registry:
        await registry.leave(worker)
