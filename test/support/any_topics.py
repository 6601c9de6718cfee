"""Opens topics of each kind, blocking or awaited, behind one awaited face."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

from mousetrap.job_queue import AsyncTopics, Topics, open_async_topics, open_topics


class AwaitedTopics:
    """Blocking topics, each call in a thread."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def publish(self, *arguments: Any, **named: Any) -> str:
        return await asyncio.to_thread(partial(self._topics.publish, *arguments, **named))

    async def claim(self, *arguments: Any, **named: Any) -> Any:
        return await asyncio.to_thread(partial(self._topics.claim, *arguments, **named))

    async def ack(self, message: Any) -> None:
        await asyncio.to_thread(self._topics.ack, message)

    async def nack(self, message: Any, *, requeue: bool = True) -> None:
        await asyncio.to_thread(partial(self._topics.nack, message, requeue=requeue))


AnyTopics = AsyncTopics | AwaitedTopics


def any_topics(face: str, url: str, **options: Any) -> AbstractAsyncContextManager[AnyTopics]:
    """The topics at `url`, of the face `blocking` or `awaited`."""
    return _blocking(url, options) if face == "blocking" else open_async_topics(url, **options)


@asynccontextmanager
async def _blocking(url: str, options: dict[str, Any]) -> AsyncIterator[AnyTopics]:
    topics = await asyncio.to_thread(partial(open_topics, url, **options))
    try:
        yield AwaitedTopics(topics)
    finally:
        await asyncio.to_thread(topics.close)
