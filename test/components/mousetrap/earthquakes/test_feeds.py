"""Tests the contracts of the pipeline that reads several feeds."""

import pytest

from mousetrap.earthquakes import FEEDS, Feed, FeedsRequest, QuietFeed, StrongFeed, default_feeds
from mousetrap.pipeline import ContractBroken, read, write


def test_a_request_without_addresses_is_for_those_of_the_setting_or_for_the_survey_s() -> None:
    survey = default_feeds("").urls

    assert len(survey) == len(set(survey)) > 1
    assert all(url.startswith("https://earthquake.usgs.gov/") for url in survey)
    assert default_feeds(" http://a/1\thttp://b/2 ").urls == ("http://a/1", "http://b/2")


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b'{"urls": ["https://a.example/", "ftp://b.example/"]}', "$.urls[1]"),
        (b'{"urls": [""]}', "$.urls[0]"),
        (b'{"urls": [' + b",".join([b'"https://a.example/"'] * 1001) + b"]}", "$.urls"),
        (b'{"url": "https://a.example/"}', "$"),
    ],
)
def test_a_request_that_is_none_is_refused_at_its_place(raw: bytes, where: str) -> None:
    with pytest.raises(ContractBroken) as broken:
        read(raw, FeedsRequest)

    assert broken.value.where == where


@pytest.mark.parametrize("kind", [QuietFeed, StrongFeed])
def test_a_feed_is_read_as_the_kind_that_it_was_written_as(kind: type[Feed]) -> None:
    output = FEEDS.stages[1].output

    again = read(write(kind("A week", 1, []), output), output)

    assert type(again) is kind
