"""Keeps payloads in a bucket of an S3-compatible service."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from mousetrap.jobs import Reference, StoreFull, StoreUnreachable
from mousetrap.payloads.backend import HOME, PAYLOAD_NAME, RUN_ID, Data, RunsPage
from mousetrap.settings import masked

T = TypeVar("T")

#: Objects that are looked at together, or more: a run is looked at as a whole.
_PAGE = 2_000
#: Behind every name of a run in the order of a listing, which is that of bytes.
_LAST = "~"
#: How a service reports that it has no room.
_FULL = ("QuotaExceeded", "StorageFull", "507 Insufficient")
_OPTIONS = {"allow_http": True, "connect_timeout": "5s", "timeout": "60s", "user_agent": "mousetrap"}
#: Outages are waited out by those who call.
_RETRIES = {"max_retries": 2}
_MAX_TEXT = 300


class _Object(NamedTuple):
    run_id: str
    key: str
    #: Seconds since 1970, by the service's clock.
    put_at: float
    #: Whether it has the form of a payload.
    ours: bool


class S3Backend:
    """As in the protocol Backend: an object mousetrap-payloads/RUN_ID/NAME for each payload, below the address's prefix.

    Endpoint, region and credentials are those of the AWS_ variables, or of the machine's role. Between the look whether a run
    was put to and its removal nothing is locked: the sweep's grace must be longer than a put takes.

    The client's calls are made in threads. From its own event loop it calls back into Python, and a process that ends just
    then is aborted: 6 of 40 that ended right after an awaited call, 0 of 40 after one in a thread.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._client = _imported("obstore")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        self._place = (
            f"the bucket s3://{parts.netloc}{parts.path}{f' at {masked(endpoint)}' if endpoint else ''}"
        )
        with self._reaching():
            self._bucket = _imported("obstore.store").S3Store(
                parts.netloc,
                prefix=f"{unquote(parts.path).strip('/')}/{HOME}".lstrip("/"),
                client_options=_OPTIONS,
                retry_config=_RETRIES,
                **({"endpoint": endpoint} if endpoint else {}),
                **_region(),
            )

    @property
    def place(self) -> str:
        return self._place

    async def write(self, reference: Reference, data: Data) -> None:
        # In one request: of several, those that a crash left would be seen by no listing.
        await self._call(lambda: self._client.put(self._bucket, reference.key, data, use_multipart=False))

    async def read(self, reference: Reference) -> bytes | None:
        return await self._call(lambda: self._read(reference.key))

    async def runs(self, put_before: float, after: str) -> RunsPage:
        return await self._call(lambda: self._runs(put_before, after))

    async def delete_run(self, run_id: str, put_before: float) -> None:
        await self._call(lambda: self._delete_run(run_id, put_before))

    async def close(self) -> None:
        """Nothing: connections end with the process."""

    # Each in a thread

    def _read(self, key: str) -> bytes | None:
        try:
            return bytes(self._client.get(self._bucket, key).bytes())
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            return None

    def _runs(self, put_before: float, after: str) -> RunsPage:
        looked_at, last = 0, ""
        old: list[str] = []
        for run_id, objects in groupby(self._objects(offset=after or None), attrgetter("run_id")):
            if looked_at >= _PAGE:
                return RunsPage(old, f"{last}/{_LAST}")
            found = list(objects)
            looked_at, last = looked_at + len(found), run_id
            if _may_go(found, put_before):
                old.append(run_id)
        return RunsPage(old, "")

    def _delete_run(self, run_id: str, put_before: float) -> None:
        objects = list(self._objects(prefix=f"{run_id}/"))
        if objects and _may_go(objects, put_before):
            self._client.delete(self._bucket, [each.key for each in objects])

    def _objects(self, *, prefix: str | None = None, offset: str | None = None) -> Iterator[_Object]:
        """All objects in folders, sorted by key."""
        for page in self._client.list(self._bucket, prefix, offset=offset, chunk_size=1_000):
            for found in page:
                run_id, slash, name = found["path"].partition("/")
                ours = bool(RUN_ID.fullmatch(run_id) and PAYLOAD_NAME.fullmatch(name))
                if slash:
                    yield _Object(run_id, found["path"], found["last_modified"].timestamp(), ours)

    async def _call(self, function: Callable[[], T]) -> T:
        with self._reaching():
            return await asyncio.to_thread(function)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (self._client.exceptions.BaseError, FileNotFoundError) as error:
            text = " ".join(masked(str(error).partition("\n\nDebug source")[0]).split())[:_MAX_TEXT]
            if any(sign in text for sign in _FULL):
                raise StoreFull(f"{self._place} has no room for payloads: {text}") from None
            raise StoreUnreachable(
                f"cannot use {self._place} for payloads (MOUSETRAP_PAYLOAD_URL): {text}. The bucket must be there; "
                "AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say how it is reached"
            ) from None


def _may_go(objects: list[_Object], put_before: float) -> bool:
    """Whether all objects of a run are payloads and old."""
    return all(each.ours and each.put_at < put_before for each in objects)


def _region() -> dict[str, str]:
    """Services that have no regions take any; without one the client would ask for none of them."""
    is_set = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return {} if is_set else {"region": "us-east-1"}


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(
            "payloads in s3:// need the package obstore, which is not installed here: pip install 'obstore>=0.12,<1'"
        ) from error
