"""Runs Celery's own worker beside ours, on one broker."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from celery import Celery

from mousetrap.celery import FROM_CELERY
from mousetrap.client import Client, Handle, UnknownRun
from mousetrap.dead_letters import DeadLetter, DeadLetters, Selection
from mousetrap.job_queue import connect
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.run_store import open_store
from mousetrap.settings import Settings
from support.processes import Process, clean_environment
from support.stack import SIGNING_KEYS
from support.waiting import until

#: A Celery app of the usual form. Tasks note what they do; one waits while a file `hold_NAME` is there.
SHOP = """
import os
import time
from pathlib import Path

from celery import Celery

app = Celery("shop", broker=os.environ["SHOP_BROKER"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    task_routes={"shop.triple": {"queue": "mousetrap"}, "shop.fail": {"queue": "mousetrap"}},
)


def note(name, *values):
    with open("done.txt", "a") as file:
        file.write(" ".join(map(str, (name, *values))) + "\\n")
    while Path(f"hold_{name}").exists():
        time.sleep(0.05)


@app.task(name="shop.double")
def double(n):
    note("double", n)
    return 2 * n


@app.task(name="shop.keep")
def keep(n):
    note("keep", n)
"""
#: The same system's tasks that have moved to us.
MOVED = """
import time
from pathlib import Path

from mousetrap.celery import Signature, celery_task
from mousetrap.handlers import chain, task
from mousetrap.retry import RetryPolicy


def note(name, value):
    with open("done.txt", "a") as file:
        file.write(f"{name} {value}\\n")
    while Path(f"hold_{name}").exists():
        time.sleep(0.05)


@task(queue="moved_triple")
def triple(n: int) -> int:
    note("triple", n)
    return 3 * n


@task(queue="moved_fail", retry=RetryPolicy(attempts=1))
def fail(n: int) -> int:
    if Path("repaired").exists():
        return n
    raise ValueError(f"{n} is refused")


@task(queue="moved_first")
def first(n: int) -> int:
    note("first", n)
    return n


double = celery_task(int, Signature(task="shop.double"), Signature(task="shop.triple", queue="mousetrap"))
order = chain("order", first, double)
"""
DECLARED = """
queues = ["mousetrap"]
answers = true

[tasks]
"shop.triple" = "triple"
"shop.fail" = "fail"
"""

#: The pipeline of one of them, as far as its dead letters need it.
_FAIL = Pipeline(
    name="fail", description="Fails.", stages=(Stage(name="fail", queue="moved_fail", input=int, output=int),)
)

Found = TypeVar("Found")


class BothSides:
    """A broker, a store, and programs of both sides in one folder."""

    def __init__(self, start: Callable[..., Process], folder: Path, broker_url: str, store_url: str) -> None:
        self._start, self.folder, self._broker_url = start, folder, broker_url
        settings = Settings(broker_url=broker_url, store_url=store_url, signing_keys=SIGNING_KEYS)
        self._settings = settings
        names = ("broker_url", "store_url", "signing_keys")
        self._ours = {f"MOUSETRAP_{name.upper()}": getattr(settings, name) for name in names}
        self.client = Client(settings=settings)
        self.celery = Celery("client", broker=broker_url)
        self.celery.conf.update(
            task_ignore_result=True, task_routes={"shop.*": {"queue": "mousetrap"}}, broker_pool_limit=1
        )
        for name, text in {"shop.py": SHOP, "moved.py": MOVED, "declared.toml": DECLARED}.items():
            (folder / name).write_text(text)
        self._opened: list[Process] = []

    def close(self) -> None:
        """Ends all programs, and closes both clients."""
        for process in self._opened:
            print(f"--- {process.name}\n{process.output}")  # shown where the test fails
            process.kill()
        self.client.close()
        self.celery.close()

    def start_worker(self) -> Process:
        """Ours, of the tasks that have moved."""
        worker = self._started("worker", "moved.py")
        worker.wait_for_line("serving ")
        return worker

    def start_taking(self) -> Process:
        """`mousetrap celery take`."""
        taking = self._started("celery", "take", "declared.toml")
        taking.wait_for_line("serving from_celery")
        return taking

    def _started(self, *command: str) -> Process:
        self._opened.append(self._start("cli", *command, **self._ours))
        return self._opened[-1]

    def start_celery(self) -> Process:
        """Celery's own worker, of the tasks that have not."""
        options = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-P", "solo", "-l", "INFO")
        command = [sys.executable, "-m", "celery", "-A", "shop", "worker", *options]
        process = Process(command, clean_environment(SHOP_BROKER=self._broker_url), self.folder)
        self._opened.append(process)
        process.wait_for_line(" ready.")
        return process

    def result(self, run_id: str) -> Any:
        """The result of a run that is to come."""
        run = self.client.run(run_id)
        until(lambda: _is_known(run), f"run {run_id} is there")
        return run.wait(60)

    def priority(self, run_id: str) -> int:
        """That of a run that is there."""
        return self.client.run(run_id).status().priority

    def letters(self, count: int) -> dict[str, str]:
        """By queue and task, the error of each dead letter, once there are so many."""

        async def look(letters: DeadLetters) -> dict[str, str]:
            found = (await letters.look(Selection(), fresh=True)).letters
            return {f"{it.queue} {_task_of(it)}": f"{it.reason}: {it.error}" for it in found}

        def enough() -> dict[str, str] | None:
            found = asyncio.run(self._with_letters(look))
            return found if len(found) == count else None

        return until(enough, f"there are {count} dead letters", seconds=60)

    def redrive(self, queue: str) -> None:
        """Sends the dead letters of a queue round again."""
        selection = Selection(queue=queue)
        asyncio.run(self._with_letters(lambda letters: letters.redrive(selection, rate=100, limit=10)))

    async def _with_letters(self, act: Callable[[DeadLetters], Awaitable[Found]]) -> Found:
        pipelines = {it.name: it for it in (FROM_CELERY, _FAIL)}
        queues = [stage.queue for it in pipelines.values() for stage in it.stages]
        keyring = self._settings.keyring
        async with (
            connect(self._settings.broker_url, queues, name="test") as queue,
            open_store(self._settings.store_url, retention=3600, keyring=keyring) as store,
        ):
            return await act(DeadLetters(queue, store, keyring, pipelines))

    @contextmanager
    def waiting_client(self) -> Iterator[Celery]:
        """A client of Celery's that waits for results over the broker."""
        app = Celery("waiting", broker=self._broker_url, backend="rpc://", set_as_current=False)
        app.conf.update(broker_pool_limit=1)
        try:
            yield app
        finally:
            app.backend.result_consumer.stop()  # else its socket is left to the collector
            app.close()

    def task(self, name: str, queue: str = "mousetrap") -> Any:
        """A signature of Celery's."""
        return self.celery.signature(f"shop.{name}", options={"queue": queue})

    def hold(self, name: str) -> None:
        """Lets tasks of that name wait in their middle."""
        (self.folder / f"hold_{name}").touch()

    def release(self, name: str) -> None:
        (self.folder / f"hold_{name}").unlink()

    def done(self) -> Sequence[str]:
        """What tasks have noted, in order."""
        path = self.folder / "done.txt"
        return path.read_text().splitlines() if path.exists() else []

    def wait_done(self, line: str) -> None:
        until(lambda: line in self.done(), f"{line!r} is done", seconds=60)


def _task_of(letter: DeadLetter) -> str:
    assert letter.job
    payload = msgspec.json.decode(letter.job.payload)
    return str(payload["headers"]["task"]) if isinstance(payload, dict) else letter.job.stage


def _is_known(run: Handle[Any]) -> bool:
    try:
        run.status()
    except UnknownRun:
        return False
    return True
