"""Two APIs fire schedules beside each other, and are killed in turn."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.schedules import Schedule, run_id_of_tick, ticks_after
from support.clients import answered, http_client
from support.processes import Process
from support.stack import url_once_ready
from support.waiting import until

EVERY_S = 2
NAMES = ("one", "two", "three")
Api = tuple[Process, httpx.Client]


@pytest.fixture
def start_api(
    start_base: Callable[..., Process], queue_url: str, own_valkey: EmbeddedValkey
) -> Iterator[Callable[[], Api]]:
    """Starts one more API of the same servers."""
    with ExitStack() as opened:

        def start() -> Api:
            servers = {"MOUSETRAP_BROKER_URL": queue_url, "MOUSETRAP_STORE_URL": own_valkey.url}
            process = start_base("api", **servers, MOUSETRAP_API_PORT="0")
            return process, opened.enter_context(http_client(url_once_ready(process)))

        yield start


def kill(api: Api) -> None:
    os.kill(api[0].pid, signal.SIGKILL)


def make(api: Api, name: str, members: dict[str, Any]) -> dict[str, Any] | None:
    answer = api[1].post("/schedules", json={"name": name, **members})
    made: dict[str, Any] = answer.json()
    return made if answer.status_code == 201 else None


def owes_nothing(api: Api, name: str) -> bool:
    return bool(answered(api[1], "GET", f"/schedules/{name}").json()["owed"] == 0)


def runs(api: Api, name: str) -> list[str]:
    page = answered(api[1], "GET", "/runs", params={"tag": f"schedule:{name}", "limit": 200}).json()
    return [run["id"] for run in page["runs"]]


def until_more(api: Api, count: int) -> None:
    """Returns once each schedule has so many runs more than now."""
    wanted = {name: len(runs(api, name)) + count for name in NAMES}
    until(lambda: all(len(runs(api, name)) >= wanted[name] for name in NAMES), "more ticks fired")


def test_each_tick_starts_one_run_while_apis_are_killed(start_api: Callable[[], Api]) -> None:
    first, second = start_api(), start_api()
    schedule = {"pipeline": "earthquakes", "every": EVERY_S, "missed": "all", "most": 1000}
    made = {}
    for name in NAMES:
        answer = until(partial(make, first, name, schedule), "it is made")  # RabbitMQ may be on its way
        made[name] = answer["created_ms"]
    until_more(first, 2)
    kill(first)
    until_more(second, 2)
    kill(second)  # no scheduler is there until the next one starts
    third = start_api()
    until_more(third, 2)
    for name in NAMES:
        answered(third[1], "POST", f"/schedules/{name}/pause").raise_for_status()
        until(partial(owes_nothing, third, name), "what it owes is submitted")

    for name in NAMES:
        ids = runs(third, name)
        expected = Schedule(name, pipeline="earthquakes", every=timedelta(seconds=EVERY_S))
        ticks = ticks_after(expected, made[name])
        assert sorted(ids) == sorted(run_id_of_tick(expected, made[name], next(ticks)) for _ in ids)
        assert len(ids) < 200 and len(ids) >= 6
