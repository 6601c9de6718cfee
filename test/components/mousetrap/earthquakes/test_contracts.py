"""What the example's contracts promise to those who send, read and isolate."""

import pickle
import subprocess
import sys

import pytest

from mousetrap.earthquakes import (
    Earthquake,
    Feed,
    FeedRefused,
    FeedRequest,
    FeedUnavailable,
    Summary,
    default_request,
)
from mousetrap.pipeline import ContractBroken, read, write

_HUALIEN = Earthquake(
    "us1000chhc", 6.4, "22km NNE of Hualian, Taiwan", 1517932242400, 121.653, 24.1737, None, "earthquake"
)


def test_a_request_without_an_address_is_for_the_week() -> None:
    assert default_request(read(b"{}", FeedRequest).url).url.endswith("/all_week.geojson")
    assert default_request("http://127.0.0.1:1/week").url == "http://127.0.0.1:1/week"


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b'{"url": "ftp://feed.example/"}', "$.url"),
        (b'{"url": "feed.example"}', "$.url"),
        (b'{"url": "https://' + b"a" * 2048 + b'"}', "$.url"),
        (b'{"url": null}', "$.url"),
        (b'{"adress": "https://feed.example/"}', "$"),
    ],
)
def test_a_request_that_is_none_is_refused_at_its_place(raw: bytes, where: str) -> None:
    with pytest.raises(ContractBroken) as broken:
        read(raw, FeedRequest)

    assert broken.value.where == where


def test_an_event_travels_as_an_array() -> None:
    raw = write(Feed("A week", 1, [_HUALIEN]), Feed)

    assert (
        b'["us1000chhc",6.4,"22km NNE of Hualian, Taiwan",1517932242400,121.653,24.1737,null,"earthquake"]'
        in raw
    )
    assert read(raw, Feed).events == [_HUALIEN]


def test_a_summary_from_before_the_b_value_had_an_error_is_still_read() -> None:
    old = Summary("A week", 1, 1, {}, 0, [], [], [_HUALIEN], None, None, 0.75, 1.1)
    raw = write(old, Summary).replace(b',"b_error":null,"b_region":null', b"")

    assert b"b_error" not in raw
    assert read(raw, Summary) == old


@pytest.mark.parametrize("error", [FeedUnavailable("busy", retry_after=7.0), FeedRefused("wrong")])
def test_a_failure_keeps_its_story_on_the_way_out_of_another_process(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_the_contracts_load_no_http_client_and_no_data_library() -> None:
    program = "import sys, mousetrap.earthquakes; print({'httpx', 'polars', 'sqlalchemy'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
