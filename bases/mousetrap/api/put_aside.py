"""Finds the dead letter that has a waiting run's message."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from mousetrap import shapes
from mousetrap.api.services import Services
from mousetrap.dead_letters import Selection
from mousetrap.jobs import MousetrapError, Unroutable
from mousetrap.run_store import StoredRun
from mousetrap.shapes import RunState

#: How long a run waits before its message is looked for among the dead letters, and how long the look may take.
_LONG_WAIT_S, _LOOK_TIMEOUT_S = 5.0, 1.0
_WAITING = (RunState.QUEUED, RunState.RETRYING)


async def put_aside(run: StoredRun, services: Services) -> shapes.PutAside | None:
    """The dead letter of a run that waits as if its message were in its queue.

    The broker put the message aside, or a worker did that could not verify it, and the store could not be updated. Looked
    for only when the run has waited long, by a look that all such runs share; a broker that is away or slow costs the page
    this line and no more.
    """
    if run.state not in _WAITING or abs(time.time() * 1000 - run.updated_ms) < _LONG_WAIT_S * 1000:
        return None
    with suppress(MousetrapError, TimeoutError):
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            for queue in _queues_of(run, services):
                with suppress(Unroutable):  # of a stage that no worker has had yet
                    if (found := await _letter_in(queue, run, services)) is not None:
                        return found
    return None


async def _letter_in(queue: str | None, run: StoredRun, services: Services) -> shapes.PutAside | None:
    found = await services.dead_letters.look(Selection(run=run.id, queue=queue), stale=_LONG_WAIT_S)
    # A letter of a worker that gave the job up names its run, which has failed then: such a letter is stale.
    aside = [it for it in found.letters if "mousetrap-run" not in it.message.headers]
    if not aside:
        return None
    it = aside[-1]
    return shapes.PutAside(id=it.id, queue=it.queue, reason=it.reason, believed=it.believed)


def _queues_of(run: StoredRun, services: Services) -> Sequence[str | None]:
    """Where its message can have been, its stage's queue first: to look at 200 queues took a quarter of a second of CPU.

    None stands for all, where the pipeline is not known.
    """
    pipeline = services.pipelines.get(run.pipeline)
    if pipeline is None:
        return (None,)
    first = pipeline.stage(run.stage)
    return tuple(dict.fromkeys(each.queue for each in (first, *pipeline.stages) if each is not None))
