"""Processes that kill themselves at a step of a payload's way.

`python -m support.dying_payloads STEP BROKER_URL STORE_URL FOLDER MARK RUN_ID`; FOLDER is empty for the run store.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from mousetrap.handlers import Binding
from mousetrap.job_queue import QueueOptions, connect
from mousetrap.jobs import Queue
from mousetrap.payloads import PayloadOptions
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.run_store import RunStore, open_store
from mousetrap.submit_run import Submitter
from mousetrap.worker import Stop, WorkerOptions, run_worker
from support.workbench import KEYRING

TEXT = "y" * 100_000


def grow(text: str) -> str:
    return text + "x"


async def shout(text: str) -> str:
    return text.upper()


def pipeline_of(mark: str) -> Pipeline:
    stages = [Stage(name=name, queue=f"{name}_{mark}", input=str, output=str) for name in ("grow", "shout")]
    return Pipeline(name=f"dying_{mark}", description="Grows and shouts.", stages=tuple(stages))


@asynccontextmanager
async def opened(
    broker_url: str, store_url: str, folder: str, mark: str
) -> AsyncIterator[tuple[Queue, RunStore]]:
    queues = [stage.queue for stage in pipeline_of(mark).stages]
    payloads = PayloadOptions(url=f"file://{folder}" if folder else "")
    async with (
        connect(broker_url, queues, name="dying", options=QueueOptions()) as queue,
        open_store(store_url, retention=3600, keyring=KEYRING, payloads=payloads) as store,
    ):
        yield queue, store


async def submit(queue: Queue, store: RunStore, mark: str, run_id: str) -> None:
    pipeline = pipeline_of(mark)
    submitter = Submitter(store, queue, KEYRING, {pipeline.name: pipeline})
    await submitter.submit(pipeline, msgspec.json.encode(TEXT), run_id=run_id)


async def work(queue: Queue, store: RunStore, mark: str, stop: Stop) -> None:
    pipeline = pipeline_of(mark)
    bindings = [
        Binding(pipeline=pipeline, stage=name, handler=handler)
        for name, handler in (("grow", grow), ("shout", shout))
    ]
    options = WorkerOptions(name=f"w-{os.getpid()}", keyring=KEYRING, lease=2.0)
    await run_worker(queue, store, bindings, options, stop)


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _main(step: str, broker_url: str, store_url: str, folder: str, mark: str, run_id: str) -> None:
    async with opened(broker_url, store_url, folder, mark) as (queue, store):
        put, payloads = store.payloads.put, store.payloads

        async def put_and_die(*about: Any) -> None:
            await put(*about)
            _die()

        async def none_known(_: object) -> set[str]:
            return set()

        match step:
            case "submit":  # put, and the run not opened
                payloads.put = put_and_die  # type: ignore[method-assign,assignment]
                await submit(queue, store, mark, run_id)
            case "work":  # put, and the outcome not recorded
                payloads.put = put_and_die  # type: ignore[method-assign,assignment]
                await work(queue, store, mark, Stop())
            case "sweep":  # one run's payloads removed, and the others' not
                backend: Any = payloads._backend
                delete_run = backend.delete_run

                async def delete_and_die(*about: Any) -> None:
                    await delete_run(*about)
                    _die()

                backend.delete_run = delete_and_die
                await payloads.sweep(none_known, -60.0)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
