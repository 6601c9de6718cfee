"""Keeps the pipelines of a process, and learns those of live workers."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from mousetrap.known_pipelines.errors import TakerContradicted, no_taker
from mousetrap.known_pipelines.judge import Known, Read, Source, judge
from mousetrap.pipeline import (
    ManifestBroken,
    Pipeline,
    PipelineManifest,
    matches,
    nearest,
    pipeline_of,
    read_manifests,
)
from mousetrap.schedules import Schedule
from mousetrap.settings import masked
from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.worker_registry import MANIFEST_KEEP_MS, InUse, WorkerRegistry

#: Different manifests that are kept, those seen last; a deployment has a handful.
_MAX_SOURCES = 1_000
#: Seconds between two looks for names that are not known.
_PAUSE_S = 0.25

_log = logging.getLogger("mousetrap.known_pipelines")


class KnownPipelines(Mapping[str, Pipeline]):
    """Pipelines by name: our own, and those that live workers publish or left behind within a week.

    It forgets none because the store is away or has lost its data: workers publish again within seconds.
    """

    def __init__(
        self, own: Mapping[str, Pipeline], keyring: Keyring, now: Callable[[], float] = time.time
    ) -> None:
        self._own = own
        self._keyring = keyring
        self._now = now
        self._sources: dict[str, Source] = {}
        #: Digests whose manifests were refused, and logged; they are read at each look, for they may be right later.
        self._refused: set[str] = set()
        self._known = Known(own)
        self._logged: frozenset[str] = frozenset()
        #: When the last look began, by the monotonic clock.
        self._looked = -_PAUSE_S
        self._looking = asyncio.Lock()

    def __getitem__(self, name: str) -> Pipeline:
        return self._known.pipelines[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known.pipelines)

    def __len__(self) -> int:
        return len(self._known.pipelines)

    def contradiction(self, name: str) -> str | None:
        """How live workers contradict each other about this pipeline, and what helps; None where they do not."""
        return self._known.contradictions.get(name)

    @property
    def schedules(self) -> Mapping[str, tuple[Schedule, ...]]:
        """Those that workers declare, by the name of their pipeline, which is none of our own; none for one without any."""
        return self._known.schedules

    async def look_for(self, name: str, registry: WorkerRegistry) -> None:
        """Looks in the registry unless the pipeline is known, so that a worker that has just started is found.

        Looks are a quarter of a second apart, and all who ask in between share the next one. Raises StoreUnreachable.
        """
        if name not in self:
            await self._look_again(registry)

    def takers(self, topic: str) -> tuple[Pipeline, ...]:
        """The pipelines that take what is published to this topic, by name.

        Raises TakerContradicted where live workers contradict each other about one that does.
        """
        for name, patterns in self._known.contradicted_topics.items():
            if any(matches(pattern, topic) for pattern in patterns):
                raise TakerContradicted(self._known.contradictions[name])
        named = sorted(self.values(), key=lambda it: it.name)
        return tuple(it for it in named if any(matches(pattern, topic) for pattern in it.topics))

    async def look_for_takers(self, topic: str, registry: WorkerRegistry) -> tuple[Pipeline, ...]:
        """The takers of this topic; where none is known, it looks as `look_for` does. Raises as `takers` does, and NoTaker."""
        if not self.takers(topic):
            await self._look_again(registry)
        if found := self.takers(topic):
            return found
        taken = {pattern for it in self.values() for pattern in it.topics}
        raise no_taker(topic, taken, nearest(topic, taken))

    async def _look_again(self, registry: WorkerRegistry) -> None:
        asked = time.monotonic()
        async with self._looking:
            if self._looked <= asked:
                await asyncio.sleep(self._looked + _PAUSE_S - asked)
                await self._look(registry)

    async def refresh(self, registry: WorkerRegistry) -> None:
        """Learns what workers publish now. Raises StoreUnreachable; then what was known stays."""
        async with self._looking:
            await self._look(registry)

    async def _look(self, registry: WorkerRegistry) -> None:
        self._looked = time.monotonic()
        listed = sorted(await registry.in_use(), key=lambda it: it.seen_ms)[-_MAX_SOURCES:]
        sources = {it.digest: source for it in listed if (source := await self._source(it, registry))}
        self._refused &= {it.digest for it in listed} - sources.keys()
        since_ms = self._now() * 1000 - MANIFEST_KEEP_MS
        for digest, source in self._sources.items():
            if digest not in sources and source.seen_ms > since_ms:  # the store has lost it
                sources[digest] = Source(source.pipelines, (), 0, source.seen_ms)
        if _alike(sources) != _alike(self._sources):
            self._known = judge(self._own, sources.values())
            self._log_news()
        self._sources = sources

    async def _source(self, listed: InUse, registry: WorkerRegistry) -> Source | None:
        """None where the manifests cannot be found, as their worker is about to send them, or are refused."""
        before = self._sources.get(listed.digest)
        if before is not None:
            return Source(before.pipelines, listed.workers, listed.started_ms, listed.seen_ms)
        published = await registry.manifests(listed.digest)
        if published is None:
            return None
        try:
            if published.digest != listed.digest:
                raise SignatureRefused("they were changed after they were published")
            pipelines = {read.manifest.name: read for read in self._read(published.manifests(self._keyring))}
        except (ManifestBroken, SignatureRefused) as error:
            self._refuse(listed, error)
            return None
        return Source(pipelines, listed.workers, listed.started_ms, listed.seen_ms)

    def _refuse(self, listed: InUse, error: Exception) -> None:
        if listed.digest not in self._refused:
            workers = ", ".join(listed.workers) or "workers that have left"
            _log.error("ignores the manifests of %s: %s", workers, masked(str(error)))
        self._refused.add(listed.digest)

    def _read(self, manifests: bytes) -> Iterator[Read]:
        for manifest in read_manifests(manifests):
            try:
                yield Read(manifest, pipeline_of(manifest), tuple(_schedules(manifest)))
            except ManifestBroken as error:
                _log.error("ignores a manifest: %s", masked(str(error)))

    def _log_news(self) -> None:
        found = frozenset((*self._known.contradictions.values(), *self._known.differences))
        for text in sorted(found - self._logged):
            _log.warning(text)
        self._logged = found


def _schedules(manifest: PipelineManifest) -> Iterator[Schedule]:
    for each in manifest.schedules or ():
        try:
            schedule = msgspec.convert(each, Schedule)
        except msgspec.ValidationError as error:  # such as a zone that is not known here
            _log.error("ignores a schedule of pipeline %s: %s", manifest.name, masked(str(error)))
            continue
        if schedule.pipeline == manifest.name:
            yield schedule


def _alike(sources: Mapping[str, Source]) -> Mapping[str, tuple[tuple[str, ...], int]]:
    """What the judgement depends on: beats alone change nothing."""
    return {digest: (source.workers, source.started_ms) for digest, source in sources.items()}
