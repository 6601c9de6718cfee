"""Pipelines of workers are learned, kept over losses, and verified."""

import asyncio
import logging
import time
from datetime import timedelta

import pytest
from redis import Redis

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.jobs import StoreUnreachable
from mousetrap.known_pipelines import KnownPipelines
from mousetrap.pipeline import write_manifests
from mousetrap.schedules import Schedule
from mousetrap.signing import Keyring
from mousetrap.worker_registry import Published, open_registry
from support.heartbeats import a_heartbeat
from support.published import a_pipeline, beat, leave
from support.valkey import administrator

OURS, FOREIGN = Keyring.parse("a:" + "s" * 20), Keyring.parse("b:" + "t" * 20)


async def test_a_worker_s_pipeline_is_known_from_its_first_beat_on(store_url: str) -> None:
    known = KnownPipelines({}, OURS)
    async with open_registry(store_url) as registry:
        await beat(store_url, "w1", a_pipeline(), keyring=OURS)

        await known.look_for("words", registry)

    assert list(known) == ["words"]
    assert len(known) == 1
    assert known["words"].first.queue == "texts"
    assert known.contradiction("words") is None


async def test_the_schedules_of_workers_are_known(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    nightly = Schedule("nightly", pipeline="words", cron="30 2 * * *", tz="Europe/Berlin", input="a")
    often = Schedule("often", pipeline="words", every=timedelta(minutes=5), tags=("a",), missed="all")
    known = KnownPipelines({"own": a_pipeline("own")}, OURS)
    async with open_registry(store_url) as registry:
        await beat(store_url, "w1", a_pipeline(), keyring=OURS, schedules=(nightly, often))
        await beat(store_url, "w2", a_pipeline("own"), keyring=OURS, schedules=(nightly,))
        await known.refresh(registry)
        assert known.schedules == {"words": (nightly, often)}

    manifests = write_manifests({"more": a_pipeline("more")}, {"more": [{"name": "x"}]})
    async with open_registry(store_url, published=Published.of(manifests, OURS)) as registry:
        await registry.beat(a_heartbeat("w3"))
        await known.refresh(registry)
        assert known.schedules["more"] == () and "ignores a schedule of pipeline more" in caplog.text


async def test_all_who_ask_for_unknown_names_share_a_look(store_url: str) -> None:
    known = KnownPipelines({}, OURS)
    async with open_registry(store_url) as registry:
        await known.look_for("words", registry)
        with Redis.from_url(administrator(store_url)) as client:
            before = client.info("commandstats")["cmdstat_zrange"]["calls"]
            await beat(store_url, "w1", a_pipeline(), keyring=OURS)

            await asyncio.gather(
                *(known.look_for(name, registry) for name in ("words", *map(str, range(50))))
            )

            assert "words" in known
            assert client.info("commandstats")["cmdstat_zrange"]["calls"] - before == 2, "one look"


async def test_a_pipeline_stays_when_its_worker_leaves_and_when_the_store_is_away_or_emptied(
    own_valkey: EmbeddedValkey,
) -> None:
    known = KnownPipelines({}, OURS)
    async with open_registry(own_valkey.url) as registry:
        await beat(own_valkey.url, "w1", a_pipeline(), keyring=OURS)
        await known.refresh(registry)

        await leave(own_valkey.url, "w1")
        await known.refresh(registry)
        assert "words" in known

        with Redis.from_url(administrator(own_valkey.url)) as client:
            client.flushall()
        await known.refresh(registry)
        assert "words" in known

        own_valkey.stop()
        with pytest.raises(StoreUnreachable):
            await known.refresh(registry)
        assert "words" in known


async def test_a_week_after_its_last_worker_a_pipeline_is_forgotten(store_url: str) -> None:
    later = [0.0]
    known = KnownPipelines({}, OURS, lambda: time.time() + later[0])
    async with open_registry(store_url) as registry:
        await beat(store_url, "w1", a_pipeline(), keyring=OURS)
        await known.refresh(registry)
        with Redis.from_url(administrator(store_url)) as client:
            client.flushall()
        later[0] = 7 * 86_400.0 + 60

        await known.refresh(registry)

    assert list(known) == []


async def test_contradictions_are_logged_once_and_end_with_their_worker(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    known = KnownPipelines({}, OURS)
    async with open_registry(store_url) as registry:
        await beat(store_url, "w1", a_pipeline(), keyring=OURS)
        await beat(store_url, "w2", a_pipeline(queue="elsewhere"), keyring=OURS)
        await known.refresh(registry)
        await beat(store_url, "w1", a_pipeline(), keyring=OURS)
        await known.refresh(registry)

        assert known.get("words") is None
        assert "w1" in str(known.contradiction("words"))
        assert len(caplog.records) == 1

        await leave(store_url, "w1")
        await known.refresh(registry)
        assert known["words"].first.queue == "elsewhere"


@pytest.mark.parametrize("kind", ["foreign", "changed", "damaged"])
async def test_what_is_not_ours_or_is_damaged_is_ignored_with_one_line(
    store_url: str, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    known = KnownPipelines({}, OURS)
    async with open_registry(store_url) as registry:
        published = await beat(store_url, "bad", a_pipeline(), keyring=FOREIGN if kind == "foreign" else OURS)
        with Redis.from_url(administrator(store_url)) as client:
            key = f"mousetrap:manifests:{published.digest}"
            if kind == "changed":
                client.set(key, published.record.replace(b"texts", b"taken"))
            if kind == "damaged":
                client.set(key, b"\xff" * 2_000_000)
        await beat(store_url, "good", a_pipeline("other"), keyring=OURS)

        await known.refresh(registry)
        await known.refresh(registry)

    assert list(known) == ["other"]
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.getMessage().startswith("ignores the manifests of bad: ")


async def test_a_damaged_record_is_used_once_it_is_right_again(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    known = KnownPipelines({}, OURS)
    async with open_registry(store_url) as registry:
        published = await beat(store_url, "w1", a_pipeline(), keyring=OURS)
        with Redis.from_url(administrator(store_url)) as client:
            key = f"mousetrap:manifests:{published.digest}"
            client.set(key, b"damaged")
            await known.refresh(registry)
            await known.refresh(registry)
            assert list(known) == []

            client.set(key, published.record)
            await known.refresh(registry)

    assert list(known) == ["words"]
    assert caplog.text.count("ignores the manifests of w1: ") == 1


async def test_one_manifest_that_cannot_be_used_costs_no_other_of_its_worker(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    both = write_manifests({"words": a_pipeline(), "other": a_pipeline("other", queue="more")})
    published = Published.of(both.replace(b'"texts"', b'"no queue at all"'), OURS)
    known = KnownPipelines({}, OURS)
    async with open_registry(store_url, published=published) as registry:
        await registry.beat(a_heartbeat())

        await known.refresh(registry)

    assert list(known) == ["other"]
    assert "ignores a manifest: the manifest of pipeline 'words' cannot be used: queue name" in caplog.text
