"""What the doctor finds, its advice and its exit code."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from mousetrap.cli.checks import Check
from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.job_queue import QueueOptions, open_channel, open_queue
from mousetrap.jobs import Message, QueueUnreachable, dead_queue
from mousetrap.run_store import open_store
from mousetrap.settings import Settings
from support.ports import closed_port
from support.published import a_pipeline, beat
from support.valkey import administrator

#: Runs a command; `conftest.py` has it.
Command = Callable[..., Any]


def environ(store_url: str, **more: str) -> dict[str, str]:
    nowhere = f"http://127.0.0.1:{closed_port()}"
    return {
        "MOUSETRAP_BROKER_URL": store_url,
        "MOUSETRAP_STORE_URL": store_url,
        "MOUSETRAP_API_URL": nowhere,
        **more,
    }


def states(shown: str) -> dict[str, str]:
    """The state of each check, from the table."""
    lines = (line.split() for line in shown.splitlines())
    return {words[1]: words[0] for words in lines if words[0] in ("ok", "warn", "fail")}


def test_wrong_settings_are_all_there_is_to_say(mousetrap: Command) -> None:
    done = mousetrap("doctor", settings={"MOUSETRAP_CONCURRENCY": "none"})

    assert done.code == 1
    assert states(done.out) == {"settings": "fail"}


def test_servers_that_are_well_are_reported_apart_from_an_api_that_is_away(
    mousetrap: Command, store_url: str
) -> None:
    given = environ(store_url, MOUSETRAP_SIGNING_KEYS="k:0123456789abcdef")

    done = mousetrap("doctor", settings=given)

    assert done.code == 1

    assert states(done.out) == {
        "settings": "ok",
        "signing": "ok",
        "broker": "ok",
        "queues": "ok",
        "dead-letters": "ok",
        "store": "ok",
        "eviction": "ok",
        "memory": "ok",
        "persistence": "ok",
        "api": "fail",
        "workers": "warn",
    }


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ({}, "warn"),
        ({"MOUSETRAP_SIGNING_KEYS": "off"}, "warn"),
        ({"MOUSETRAP_STORE_URL": "valkey://valkey.invalid:1/0"}, "fail"),
    ],
)
def test_signing_that_is_off_is_reported_and_fails_where_nothing_would_start(
    mousetrap: Command, store_url: str, given: dict[str, str], state: str
) -> None:
    done = mousetrap("doctor", settings=environ(store_url, **given))

    assert done.code == 1

    assert states(done.out)["signing"] == state


def test_a_warning_exits_1_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, mousetrap: Command, store_url: str
) -> None:
    monkeypatch.setattr(
        "mousetrap.cli.probes.all_checks", lambda _: [Check("signing", "warn", "off", "switch it on")]
    )

    codes = [mousetrap("doctor", *more, settings=environ(store_url)).code for more in ((), ("--strict",))]

    assert codes == [0, 1]


def test_what_is_away_is_reported_without_its_password(mousetrap: Command) -> None:
    given = environ(
        "",
        MOUSETRAP_BROKER_URL="amqp://me:secret@127.0.0.1:1/",
        MOUSETRAP_STORE_URL="valkey://:secret@127.0.0.1:1/",
    )

    done = mousetrap("doctor", settings=given)

    assert done.code == 1

    shown = done.out
    assert "secret" not in shown
    assert "MOUSETRAP_BROKER_URL" in shown
    assert "MOUSETRAP_STORE_URL" in shown


@pytest.mark.parametrize("kind", ["broker_url", "store_url"])
def test_looking_at_a_broker_declares_nothing(
    mousetrap: Command, request: pytest.FixtureRequest, store_url: str, kind: str
) -> None:
    given = environ(store_url, MOUSETRAP_BROKER_URL=request.getfixturevalue(kind))

    for _ in range(2):
        done = mousetrap("doctor", "--json", settings=given)

        broker = next(check for check in json.loads(done.out) if check["name"] == "broker")
        assert broker["state"] == "ok"
        assert "start_fetch: not there before" in broker["found"]


async def given_up(store_url: str, queue: str) -> None:
    """A dead letter of this queue, of a worker that has left its manifests."""
    settings = Settings.from_environ({"MOUSETRAP_BROKER_URL": store_url})
    async with open_queue(settings, [queue], name="test") as broker:
        await broker.publish(dead_queue(queue), Message("j1", b"{}"))


async def test_queues_of_pipelines_that_workers_publish_are_looked_at_too(
    mousetrap: Command, store_url: str
) -> None:
    await beat(store_url, "w1", a_pipeline())
    await given_up(store_url, "texts")

    done = await asyncio.to_thread(mousetrap, "doctor", "--json", settings=environ(store_url))

    found = {check["name"]: check["found"] for check in json.loads(done.out)}
    assert "texts_kept: not there before" in found["broker"]
    assert found["dead-letters"] == "texts: 1"
    assert "texts" not in found["workers"]  # nothing waits there


async def test_jobs_that_are_not_due_are_counted(mousetrap: Command, store_url: str) -> None:
    settings = Settings.from_environ({"MOUSETRAP_BROKER_URL": store_url})
    due_ms = int(time.time() * 1000) + 3_600_000
    async with (
        open_queue(settings, ["start_fetch"], name="test"),
        open_store(store_url, retention=60) as store,
    ):
        await store.note_later({"start_fetch": {"j1": due_ms, "j2": due_ms}})

    done = await asyncio.to_thread(mousetrap, "doctor", "--json", settings=environ(store_url))

    (found,) = [check["found"] for check in json.loads(done.out) if check["name"] == "broker"]
    assert "start_fetch: 0 ready, 2 delayed" in found


def test_a_queue_that_another_version_made_is_named_in_the_words_of_every_other_process(
    mousetrap: Command, broker_url: str, store_url: str
) -> None:
    with open_channel(broker_url, ["start_fetch"], options=QueueOptions(max_length=7)):
        pass

    done = mousetrap("doctor", "--json", settings=environ(store_url, MOUSETRAP_BROKER_URL=broker_url))

    found = {check["name"]: check for check in json.loads(done.out)}
    assert (found["broker"]["state"], found["queues"]["state"]) == ("ok", "fail")
    with pytest.raises(QueueUnreachable) as others, open_channel(broker_url, ["start_fetch"]):
        pass
    assert found["queues"]["found"] == str(others.value)
    assert "queue 'start_fetch' has x-max-length 7" in str(others.value)


def test_queues_that_are_as_they_should_be_are_well(
    mousetrap: Command, broker_url: str, store_url: str
) -> None:
    with open_channel(broker_url, ["start_fetch"]):
        pass

    done = mousetrap("doctor", settings=environ(store_url, MOUSETRAP_BROKER_URL=broker_url))

    assert states(done.out)["queues"] == "ok"
    assert states(done.out)["delays"] == "ok"


def test_a_process_that_may_not_declare_reports_that_it_tried_no_delay(
    mousetrap: Command, broker_url: str, store_url: str
) -> None:
    open_channel(broker_url, ["start_fetch"]).close()

    given = environ(store_url, MOUSETRAP_BROKER_URL=broker_url, MOUSETRAP_DECLARE="false")
    done = mousetrap("doctor", "--json", settings=given)

    delays = next(check for check in json.loads(done.out) if check["name"] == "delays")
    assert (delays["state"], delays["found"][:9]) == ("ok", "not tried")


def test_messages_without_a_signature_are_warned_of(mousetrap: Command, store_url: str) -> None:
    done = mousetrap("doctor", settings=environ(store_url))
    assert states(done.out)["signing"] == "warn"


def test_a_store_that_may_forget_is_found(mousetrap: Command, own_valkey: EmbeddedValkey) -> None:
    with Redis.from_url(administrator(own_valkey.url)) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        try:
            done = mousetrap("doctor", settings=environ(own_valkey.url))
        finally:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("appendonly", "yes")

    found = states(done.out)
    assert (found["eviction"], found["persistence"]) == ("fail", "warn")


def test_the_error_of_a_server_that_is_away_has_no_full_stop_before_ours(mousetrap: Command) -> None:
    away = f"valkey://127.0.0.1:{closed_port()}/0"

    done = mousetrap("doctor", settings=environ(away))

    shown = " ".join(done.out.split())
    assert shown.count(": Connection refused") == 2  # of the broker and of the store
    assert ".." not in shown
    assert "). →" not in shown


def test_the_doctor_warns_where_pika_is_instrumented(
    monkeypatch: pytest.MonkeyPatch, mousetrap: Command
) -> None:
    monkeypatch.setattr("mousetrap.cli.probes.is_instrumented", lambda: True)
    nowhere = f"http://127.0.0.1:{closed_port()}"
    settings = {
        "MOUSETRAP_BROKER_URL": f"amqp://127.0.0.1:{closed_port()}/",
        "MOUSETRAP_STORE_URL": f"valkey://127.0.0.1:{closed_port()}/0",
        "MOUSETRAP_API_URL": nowhere,
    }

    done = mousetrap("doctor", settings=settings)

    assert "traces" in done.out and "pika is instrumented" in done.out
