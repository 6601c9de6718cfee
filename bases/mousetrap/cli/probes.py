"""Asks broker, store and API, and returns checks."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from mousetrap.api_client import Api, CommandFailed
from mousetrap.catalogue import PIPELINES
from mousetrap.cli.checks import (
    Check,
    check_api_keys,
    check_dead_letters,
    check_delays,
    check_paused,
    check_store_info,
    check_workers,
)
from mousetrap.cli.session import given_settings, read_settings
from mousetrap.job_queue import is_instrumented, open_queue, options_of, overdue_rungs
from mousetrap.jobs import MousetrapError, Queue, Unroutable, dead_queue
from mousetrap.known_pipelines import KnownPipelines
from mousetrap.run_store import StoreInfo, open_store
from mousetrap.settings import Settings, SettingsWrong, check_signing, masked
from mousetrap.shapes import Schedule
from mousetrap.worker_registry import open_registry

#: Workers of a stack that was just started send their first heartbeat within so many seconds after the API is ready.
_FIRST_BEATS_S = 5.0
_POLL_S = 0.2
#: Schedules in one request, as many as the API gives.
_PAGE = 200
#: Those of the catalogue's pipelines, which are to be served whatever waits.
_OWN_QUEUES = frozenset(stage.queue for pipeline in PIPELINES.values() for stage in pipeline.stages)


def all_checks(environ: Mapping[str, str]) -> Iterator[Check]:
    """Settings, signing, keys, broker, queues, dead letters, delays, store, API, pauses and workers, in this order."""
    try:
        settings = read_settings(environ)
    except SettingsWrong as error:
        yield Check("settings", "fail", str(error), "correct the variables named here")
        return
    yield Check("settings", "ok", f"{len(given_settings(environ))} given, the rest are defaults")
    yield _signing(settings)
    if settings.api_keys:
        yield check_api_keys(settings.api_keys, time.time())
    queues = asyncio.run(_known_queues(settings))
    if settings.broker_url.startswith("amqp") and is_instrumented():
        yield Check(
            "traces",
            "warn",
            "pika is instrumented: its spans end before a handler begins, and publishing is traced twice",
            "set OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=pika",
        )
    waiting, checks = asyncio.run(_broker(settings, queues, asyncio.run(_delayed(settings, queues))))
    yield from checks
    yield from _store(settings)
    api = _api(settings)
    yield api
    if api.state == "ok":
        yield from _paused(settings)
    # A file that is not served any more is no fault, unless something waits for it.
    needed = [queue for queue in queues if queue in _OWN_QUEUES or waiting.get(queue)]
    yield from asyncio.run(_workers(settings, needed, _FIRST_BEATS_S if api.state == "ok" else 0.0))


async def _known_queues(settings: Settings) -> Sequence[str]:
    """Those of the catalogue, and of the pipelines that workers publish: the former alone where the store is away."""
    known = KnownPipelines(PIPELINES, settings.keyring)
    with suppress(
        MousetrapError, ValueError
    ):  # a ValueError is about the address; another check reports either
        async with open_registry(settings.store_url, tls=settings.tls) as registry:
            await known.refresh(registry)
    return list(dict.fromkeys(stage.queue for pipeline in known.values() for stage in pipeline.stages))


def _signing(settings: Settings) -> Check:
    """Without keys the API and the workers do not start where broker or store are another machine."""
    advice = (
        "set MOUSETRAP_SIGNING_KEYS alike for the API and all workers; `mousetrap keys signing` makes a key"
    )
    try:
        unsigned = check_signing(settings)
    except SettingsWrong as error:
        return Check("signing", "fail", str(error), advice)
    if unsigned:
        return Check(
            "signing", "warn", "off: workers run whatever is in their queues, from any sender", advice
        )
    keys = list(settings.keyring.keys)
    return Check("signing", "ok", f"on, with key {keys[0]}{f' of {len(keys)}' if keys[1:] else ''}")


async def _delayed(settings: Settings, queues: Sequence[str]) -> Mapping[str, int]:
    """How many jobs of each queue are not due; nothing where the store is away, which another check reports."""
    with suppress(MousetrapError, ValueError):
        async with open_store(
            settings.store_url, retention=settings.retention_seconds, tls=settings.tls
        ) as store:
            return dict(zip(queues, await store.count_later(queues), strict=True))
    return {}


async def _broker(
    settings: Settings, queues: Sequence[str], delayed: Mapping[str, int]
) -> tuple[Mapping[str, int | None], Sequence[Check]]:
    """How many messages wait in each queue, None where it is not there; and what was found."""
    try:
        async with open_queue(settings, [], name="doctor") as broker:
            await broker.check()
            waiting = {queue: await _ready(broker, queue) for queue in queues}
            dead = {queue: await _ready(broker, dead_queue(queue)) or 0 for queue in queues}
    except (MousetrapError, ValueError) as error:  # a ValueError is about the address
        return {}, [Check("broker", "fail", str(error), "start it, or name another in MOUSETRAP_BROKER_URL")]
    there = [queue for queue in queues if waiting[queue] is not None]
    return waiting, [
        Check("broker", "ok", f"{masked(settings.broker_url)} answers ({_in_words(waiting, delayed)})"),
        await _queues(settings, there),
        check_dead_letters(dead, settings.dead_max_length),
        *(_delays(settings) if there and settings.broker_url.startswith("amqp") else ()),
    ]


def _in_words(waiting: Mapping[str, int | None], delayed: Mapping[str, int]) -> str:
    """What waits where; the queues where nothing does are counted."""
    parts = [
        f"{queue}: not there before a worker or the API declares it"
        if ready is None
        else f"{queue}: {ready} ready{f', {later} delayed' if later else ''}"
        for queue, ready in waiting.items()
        if (later := delayed.get(queue, 0)) or ready != 0
    ]
    empty = len(waiting) - len(parts)
    return ", ".join([*parts, *([f"{empty} queues with nothing ready"] if empty else [])])


def _delays(settings: Settings) -> Iterator[Check]:
    """The ladder comes with the first queue; a process that may not declare cannot make the queue that a try ends in."""
    if not settings.declare:
        yield Check("delays", "ok", "not tried: that asks for MOUSETRAP_DECLARE=true, and a user who may")
        return
    try:
        yield check_delays(overdue_rungs(settings.broker_url, options_of(settings)))
    except MousetrapError as error:
        yield Check("delays", "warn", f"not tried: {error}")


async def _queues(settings: Settings, there: Sequence[str]) -> Check:
    """Whether the queues are as this version declares them: declaring a queue that is there changes nothing.

    A process that may not declare only learns that they are there.
    """
    try:
        async with open_queue(settings, there, name="doctor") as broker:
            await broker.check()
    except MousetrapError as error:
        return Check("queues", "fail", str(error))
    made = (
        ", declared as by this version"
        if settings.declare
        else "; `mousetrap migrate` checks whether they differ"
    )
    return Check("queues", "ok", f"{len(there)} there{made}")


async def _ready(broker: Queue, queue: str) -> int | None:
    try:
        return await broker.count_ready(queue)
    except Unroutable:
        return None


def _store(settings: Settings) -> Iterator[Check]:
    try:
        info = asyncio.run(store_info(settings))
    except (MousetrapError, ValueError) as error:
        yield Check("store", "fail", str(error), "start it, or name another in MOUSETRAP_STORE_URL")
        return
    yield Check("store", "ok", f"{masked(settings.store_url)} answers ({info.server})")
    yield from check_store_info(info)


async def store_info(settings: Settings) -> StoreInfo:
    """The store's own figures. Raises StoreUnreachable."""
    async with open_store(
        settings.store_url, retention=settings.retention_seconds, tls=settings.tls
    ) as store:
        return await store.info()


async def _workers(settings: Settings, queues: Sequence[str], timeout_s: float) -> Sequence[Check]:
    """Asks again until the timeout while a queue has no worker. No check where the store is away: another check reports that."""
    deadline = time.monotonic() + timeout_s
    try:
        async with open_registry(settings.store_url, tls=settings.tls) as registry:
            while True:
                check = check_workers(queues, await registry.workers())
                if check.state == "ok" or time.monotonic() >= deadline:
                    return [check]
                await asyncio.sleep(_POLL_S)
    except (MousetrapError, ValueError):
        return []


def _api(settings: Settings) -> Check:
    try:
        with Api(settings.api_url) as api:
            api.ready()
    except CommandFailed as failed:
        return Check("api", "fail", str(failed))
    return Check("api", "ok", f"{settings.api_url} is ready")


def _paused(settings: Settings) -> Iterator[Check]:
    """No check for a key that may not read."""
    with suppress(CommandFailed), Api(settings.api_url, settings.api_key) as api:
        yield check_paused(api.queues().value, _schedules(api))


def _schedules(api: Api) -> Iterator[Schedule]:
    after: str | None = None
    while True:
        page = api.schedules.page(limit=_PAGE, after=after).value
        yield from page.schedules
        after = page.next
        if after is None:
            return
