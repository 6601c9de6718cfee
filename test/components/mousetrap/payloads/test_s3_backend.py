"""Payloads in a bucket: what it holds, and what goes wrong."""

import sys
import time
from typing import Any
from uuid import uuid4

import pytest

from mousetrap.jobs import Reference, StoreUnreachable
from mousetrap.payloads import PayloadOptions, Payloads, S3Backend, open_payloads
from mousetrap.payloads import s3_backend as module
from mousetrap.settings import Settings, SettingsWrong
from support.s3_server import SECRET_KEY, Bucket


async def test_a_payload_is_one_object_below_the_prefix(bucket: Bucket) -> None:
    async with bucket.opened() as backend:
        reference = await Payloads(backend, inline=0).put("run-1", b"data")

    assert bucket.keys() == [f"a/prefix/mousetrap-payloads/run-1/{reference.name}"]


async def test_what_others_keep_in_the_bucket_stays(bucket: Bucket) -> None:
    home = "a/prefix/mousetrap-payloads"
    bucket.put("elsewhere/file", b"x")
    bucket.put("a/prefix/of-nothing", b"x")
    bucket.put("a/prefix/invoices/2024-01.pdf", b"x")
    bucket.put(f"{home}/deeper/down/file", b"x")
    bucket.put(f"{home}/invoices/2024-01.pdf", b"x")
    bucket.put(f"{home}/no.run/{'0' * 64}", b"x")
    bucket.put(f"{home}/shared/{'0' * 64}", b"x")
    bucket.put(f"{home}/shared/notes.txt", b"x")
    theirs = bucket.keys()
    async with bucket.opened() as backend:
        payloads = Payloads(backend, inline=0, now=lambda: time.time() + 1_000)
        await payloads.put("run-1", b"data")
        assert await payloads.sweep(none_is_known, 10.0) == 1

    assert bucket.keys() == theirs


async def test_a_listing_goes_on_behind_the_last_run_of_a_page(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", 3)
    async with bucket.opened() as backend:
        payloads = Payloads(backend, inline=0)
        for run in ("a", "a-b", "a0", "b"):
            for data in (b"1", b"2"):
                await payloads.put(run, data)

        pages = [await backend.runs(time.time() + 1_000, "")]
        while pages[-1].after:
            pages.append(await backend.runs(time.time() + 1_000, pages[-1].after))

    assert [sorted(page.run_ids) for page in pages] == [["a", "a-b"], ["a0", "b"]]


async def test_a_server_that_is_away_and_a_bucket_that_is_not_there_are_no_missing_payloads(
    bucket: Bucket,
) -> None:
    reference = Reference(key="run-1/name", sha256="0" * 64, size=3)
    nowhere = S3Backend(f"s3://not-there-{uuid4().hex[:8]}")
    for call in (nowhere.read(reference), nowhere.write(reference, b"ham")):
        with pytest.raises(StoreUnreachable, match=r"s3://not-there-\w+ at .*NoSuchBucket.*AWS_ENDPOINT_URL"):
            await call

    bucket.server.stop()
    with pytest.raises(StoreUnreachable, match="cannot use the bucket") as away:
        await S3Backend(bucket.url).read(reference)
    assert len(str(away.value)) < 800
    bucket.server.start()


async def test_wrong_credentials_are_named_and_no_secret_is(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret-of-the-tests")

    with pytest.raises(StoreUnreachable, match="AWS_SECRET_ACCESS_KEY") as refused:
        await S3Backend(bucket.url).write(Reference(key="r/n", sha256="0" * 64, size=1), b"x")

    for text in (str(refused.value), repr(refused.value), S3Backend(bucket.url).place):
        assert SECRET_KEY not in text
        assert "another-secret" not in text


def test_an_endpoint_with_a_password_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:a-password@127.0.0.1:1")

    assert "a-password" not in S3Backend("s3://bucket").place


def test_without_its_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)

    with pytest.raises(ValueError, match="pip install 'obstore"):
        open_payloads(PayloadOptions(url="s3://bucket"), no_store)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("s3://key:secret@bucket/prefix", "AWS_SECRET_ACCESS_KEY"),
        ("s3://", "name of a bucket"),
        ("s3://UPPER", "name of a bucket"),
        ("s3://bucket/a b", "prefix"),
        ("s3://bucket/a/../b", "prefix"),
        ("s3://bucket/a//b", "prefix"),
        ("gs://bucket", "file:///folder, s3://bucket"),
    ],
)
def test_an_address_that_is_none_is_refused_with_the_correction(url: str, error: str) -> None:
    with pytest.raises(SettingsWrong, match=error) as refused:
        Settings.from_environ({"MOUSETRAP_PAYLOAD_URL": url})

    assert "secret@" not in str(refused.value)


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://my.bucket-1/a/prefix/", ""])
def test_an_address_of_a_bucket_is_taken(url: str) -> None:
    assert Settings.from_environ({"MOUSETRAP_PAYLOAD_URL": url}).payload_url == url


async def none_is_known(run_ids: object) -> set[str]:
    return set()


def no_store() -> Any:
    raise AssertionError("the store is not asked")
