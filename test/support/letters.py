"""Puts dead letters into a queue, and follows their repair over HTTP."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx

from mousetrap.earthquakes import EARTHQUAKES
from mousetrap.job_queue import connect
from mousetrap.jobs import Job, Message, dead_queue, encode, first_job
from mousetrap.signing import Keyring
from support.inbox import Inbox
from support.operations import ended
from support.workbench import just_now_ms

KEYS = "k1:sixteen-characters"
KEYRING = Keyring.parse(KEYS)
QUEUE = "start_fetch"
UNAVAILABLE = "mousetrap.earthquakes.contracts.FeedUnavailable"


def job_of(run_id: str) -> Job:
    payload = b'{"url": "https://example.org/feed"}'
    return first_job(
        run_id=run_id, pipeline=EARTHQUAKES.name, stage="fetch", payload=payload, accepted_ms=just_now_ms()
    )


def letter_of(run_id: str, at_ms: int = 1, **story: str) -> Message:
    job = job_of(run_id)
    body = encode(job)
    story = {
        "reason": "max-retries", "error-type": UNAVAILABLE, "error": "the feed answers 503", "attempts": "5",
        "traceback": "Traceback: in fetch", "worker": "w1", "at": str(at_ms), **story,
    }  # fmt: skip
    headers = {f"mousetrap-{name}": text for name, text in story.items()}
    return Message(job.id, body, {**KEYRING.headers(body), **headers})


def bury(url: str, *letters: Message) -> None:
    async def publish() -> None:
        async with connect(url, [QUEUE], name="test") as queue:
            for letter in letters:
                await queue.publish(dead_queue(QUEUE), letter)

    asyncio.run(publish())


def taken(url: str, count: int) -> Sequence[Message]:
    """So many messages of the queue that the letters came from."""

    async def take() -> Sequence[Message]:
        inbox = Inbox()
        async with connect(url, [QUEUE], name="test") as queue:
            await queue.consume(QUEUE, 100, inbox)
            deliveries = [await inbox.take() for _ in range(count)]
            for delivery in deliveries:
                delivery.acknowledge()
            assert await queue.count_ready(QUEUE) == 0
        return [delivery.message for delivery in deliveries]

    return asyncio.run(take())


def redriven(api: httpx.Client, filters: dict[str, Any]) -> dict[str, Any]:
    """The operation that redrives these letters, once it has ended."""
    answer = api.post("/dead/redrive", json=filters)
    assert answer.status_code == 202, answer.text
    return ended(api, answer)


def check(answer: httpx.Response, status: int, kind: str) -> str:
    """The detail of the problem that the answer must be."""
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:mousetrap:problem:{kind}"), (
        answer.text
    )
    return str(answer.json()["detail"])
