"""A file with tasks is served and started by an older API."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from mousetrap.embedded_valkey import EmbeddedValkey
from support.clients import accepted_run, answered, http_client
from support.processes import Process
from support.stack import SIGNING_KEYS, url_once_ready
from support.valkey import administrator
from support.waiting import until

Start = Callable[..., Process]

WORDS = """
from mousetrap.handlers import chain, task
from mousetrap.retry import RetryPolicy

@task(queue="target_pages")
def fetch(text: str) -> list[str]:
    return text.split()

@task(queue="target_words", retry=RetryPolicy(attempts=1))
def count(words: list[str]) -> dict[str, int]:
    if "refuse" in words:
        raise ValueError("refused")
    return {word: words.count(word) for word in words}

wordcount = chain("wordcount", fetch, count)
"""


class Deployment:
    """An API whose image has no word of the pipeline, and workers of a file."""

    def __init__(self, start: Start, folder: Path, servers: dict[str, str], opened: ExitStack) -> None:
        self._start = start
        self._opened = opened
        self._settings = {
            "MOUSETRAP_BROKER_URL": servers["broker"],
            "MOUSETRAP_STORE_URL": servers["store"],
            "MOUSETRAP_SIGNING_KEYS": SIGNING_KEYS,
            "MOUSETRAP_API_PORT": "0",
        }
        (folder / "words.py").write_text(WORDS)
        self.start_api()

    def start_api(self) -> None:
        self.process = self._start("api", **self._settings)
        self.api = self._opened.enter_context(http_client(url_once_ready(self.process)))

    def start_worker(self) -> Process:
        worker = self._start("cli", "worker", "words.py", **self._settings)
        worker.wait_for_line("serving target_pages, target_words")
        return worker

    def submit(self, text: str) -> str:
        """The run's id."""
        return accepted_run(self.api, "/pipelines/wordcount/runs", text)

    def result(self, run: str) -> Any:
        """The run's result, once it has completed."""
        shown = until(lambda: self._completed(run), f"run {run} completes", seconds=60)
        return shown["result"]

    def _completed(self, run: str) -> Any:
        shown = self.ended(run)
        return shown if shown and shown["state"] == "completed" else None

    def ended(self, run: str) -> Any:
        """The run, if it has ended."""
        shown = answered(self.api, "GET", f"/runs/{run}").json()
        return shown if shown.get("state") in ("completed", "failed", "rejected") else None


@pytest.fixture
def deployment(
    start_base: Start, tmp_path: Path, queue_url: str, own_valkey: EmbeddedValkey
) -> Iterator[Deployment]:
    with ExitStack() as opened:
        yield Deployment(start_base, tmp_path, {"broker": queue_url, "store": own_valkey.url}, opened)


def test_a_worker_of_a_file_needs_no_new_api_and_neither_s_end_costs_a_run(deployment: Deployment) -> None:
    assert answered(deployment.api, "POST", "/pipelines/wordcount/runs", json="a").status_code == 404
    first = deployment.start_worker()
    assert deployment.result(deployment.submit("one and one")) == {"one": 2, "and": 1}

    first.kill()
    waiting = [deployment.submit(f"run {number}") for number in range(5)]
    deployment.process.kill()
    deployment.start_api()
    waiting.append(deployment.submit("after the restart"))
    deployment.start_worker()

    assert [sorted(deployment.result(run).values()) for run in waiting] == [*[[1, 1]] * 5, [1, 1, 1]]


def test_after_the_loss_of_the_store_s_data_the_worker_publishes_again(
    deployment: Deployment, own_valkey: EmbeddedValkey, queue_url: str
) -> None:
    worker = deployment.start_worker()
    assert deployment.result(deployment.submit("a")) == {"a": 1}

    with Redis.from_url(administrator(own_valkey.url)) as client:
        for key in client.scan_iter("mousetrap:manifests*"):
            client.delete(key)
    deployment.process.kill()
    deployment.start_api()  # it has no memory of the pipeline

    until(lambda: deployment.api.get("/pipelines/wordcount").status_code == 200, "it is published again")
    assert deployment.result(deployment.submit("b b")) == {"b": 2}
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert deployment.submit("while no worker is up")


def test_a_dead_letter_is_edited_under_the_worker_s_contract(deployment: Deployment) -> None:
    deployment.start_worker()
    run = deployment.submit("refuse this")
    shown = until(lambda: deployment.ended(run), f"run {run} ends", seconds=60)
    assert shown["state"] == "failed"

    # The failure is recorded first, and the letter published then.
    (letter,) = until(
        lambda: answered(deployment.api, "GET", "/dead", params={"queue": "target_words"}).json()["letters"],
        "its letter is there",
    )
    path = f"/dead/target_words/{letter['id']}/redrive"
    wrong = answered(deployment.api, "POST", path, json={"input": [1, 2]})
    assert (wrong.status_code, wrong.json()["where"]) == (422, "$[0]")
    # The refused edit gave the letter back, which a busy broker may note a moment later.
    until(
        lambda: answered(deployment.api, "POST", path, json={"input": ["a", "b"]}).json().get("redriven"),
        "the corrected letter is redriven",
    )

    assert deployment.result(run) == {"a": 1, "b": 1}


def test_a_message_causes_no_import(deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "never_named.py").write_text("import pathlib\npathlib.Path('imported').touch()")
    deployment.start_worker()

    for path in ("/pipelines/never_named/runs", "/pipelines/never_named:task/runs", "/pipelines/os/runs"):
        assert answered(deployment.api, "POST", path, json="x").status_code == 404
    assert deployment.result(deployment.submit("never_named never_named:task")) == {
        "never_named": 1,
        "never_named:task": 1,
    }

    assert not (tmp_path / "imported").exists()
