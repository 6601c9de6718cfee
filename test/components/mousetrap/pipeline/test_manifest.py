"""A manifest is a pipeline without code; broken ones are refused."""

from dataclasses import replace

import msgspec
import pytest

from mousetrap.pipeline import (
    AtMost,
    Lock,
    ManifestBroken,
    Pipeline,
    Rate,
    Stage,
    manifest_of,
    pipeline_of,
    read_manifests,
    schema,
    write_manifests,
)
from mousetrap.pipeline.manifest import MAX_MANIFEST_BYTES
from mousetrap.retry import RetryPolicy


class Page(msgspec.Struct, frozen=True):
    """A page and its size."""

    url: str
    size: int = 0


def two_stages(name: str = "words") -> Pipeline:
    """A pipeline with every part that a manifest has."""
    return Pipeline(
        name=name,
        description="Counts words.",
        expires_after=60.0,
        stages=(
            Stage(
                name="fetch",
                queue="pages",
                input=str,
                output=Page,
                retry=RetryPolicy(attempts=None, base=2.0, cap=9.0, dont_retry_on=(OSError,)),
                timeout=30.0,
                soft_timeout=20.0,
            ),
            Stage(
                name="count",
                queue="counts",
                input=Page,
                output=dict[str, int],
                lock=Lock(name="site", by="url", on_conflict="skip"),
                limit=(AtMost(3, fair="url"), Rate(50, every="minute", burst=2, per="url")),
            ),
        ),
    )


def test_a_manifest_has_every_part_of_the_pipeline_but_its_code() -> None:
    manifest = manifest_of(two_stages())

    fetch, count = manifest.stages
    assert (manifest.name, manifest.description, manifest.expires_after) == ("words", "Counts words.", 60.0)
    assert (fetch.name, fetch.queue, fetch.timeout, fetch.soft_timeout) == ("fetch", "pages", 30.0, 20.0)
    assert (fetch.input, fetch.output) == (schema(str), schema(Page))
    assert (fetch.retry.attempts, fetch.retry.base, fetch.retry.cap) == (None, 2.0, 9.0)
    assert count.lock == Lock(name="site", by="url", on_conflict="skip")
    assert count.output == schema(dict[str, int])
    assert pipeline_of(manifest).stages[1].limit == two_stages().stages[1].limit


def test_manifests_come_back_as_they_were_written() -> None:
    pipelines = {each.name: each for each in (two_stages("b"), two_stages("a"))}

    read = read_manifests(write_manifests(pipelines))

    assert read == (manifest_of(pipelines["a"]), manifest_of(pipelines["b"]))


def test_the_same_pipelines_are_the_same_bytes() -> None:
    one, other = two_stages("a"), two_stages("b")

    assert write_manifests({"a": one, "b": other}) == write_manifests({"b": other, "a": one})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'[{"name": "words"}]',
        b'[{"name": "words", "description": "", "stages": [{"name": "fetch", "queue": 7}]}]',
        b" " * (MAX_MANIFEST_BYTES + 1),
    ],
)
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    with pytest.raises(ManifestBroken):
        read_manifests(raw)


def test_a_member_of_a_later_version_is_ignored() -> None:
    written = msgspec.json.decode(write_manifests({"words": two_stages()}))
    written[0]["colour"] = written[0]["stages"][0]["colour"] = "green"

    assert read_manifests(msgspec.json.encode(written)) == (manifest_of(two_stages()),)


def test_too_large_a_manifest_is_refused_where_it_is_written() -> None:
    class Wordy(msgspec.Struct):
        pass

    Wordy.__doc__ = "A long description. " * (MAX_MANIFEST_BYTES // 20)
    pipeline = Pipeline(
        name="wordy", description="", stages=(Stage(name="a", queue="a", input=Wordy, output=str),)
    )

    with pytest.raises(ManifestBroken, match="serve fewer pipelines"):
        write_manifests({"wordy": pipeline})


def test_a_pipeline_made_from_its_manifest_has_the_same_manifest() -> None:
    manifest = manifest_of(two_stages())

    assert manifest_of(pipeline_of(manifest)) == manifest


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("queue", "no queue's name"),
        ("queue", "counts"),
        ("input", {"type": "nonsense"}),
        ("output", {"type": "string"}),
        ("timeout", -1.0),
    ],
)
def test_a_manifest_that_no_pipeline_can_have_is_refused_with_the_reason(part: str, value: object) -> None:
    manifest = manifest_of(two_stages())
    first = msgspec.structs.replace(manifest.stages[0], **{part: value})
    wrong = msgspec.structs.replace(manifest, stages=(first, *manifest.stages[1:]))

    with pytest.raises(ManifestBroken, match="the manifest of pipeline 'words' cannot be used: "):
        pipeline_of(wrong)


def test_the_topics_are_in_the_manifest_and_one_without_has_none() -> None:
    stages = (Stage(name="mail", queue="mails", input=str, output=str),)
    silent = Pipeline(name="mails", description="", stages=stages)
    taking = replace(silent, topics=("orders.*",))

    assert pipeline_of(manifest_of(taking)).topics == ("orders.*",)
    assert b"topics" not in write_manifests({"mails": silent})
    raw = write_manifests({"mails": taking}).replace(b"orders.*", b"orders.")
    with pytest.raises(ManifestBroken, match=r"topics has 'orders\.'"):
        pipeline_of(read_manifests(raw)[0])
