"""Tests the pipeline of several feeds as its two workers bind it."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from mousetrap.earthquakes import Comparison, FeedRefused, FeedsRequest
from mousetrap.earthquakes_sample import day_addresses, served_week
from mousetrap.earthquakes_settings import DATABASE, FEED, FETCH
from mousetrap.handlers import Binding
from mousetrap.run_fetch_worker import bind_fetch, bind_fetch_feeds, bind_list_feeds
from mousetrap.run_process_worker import bind_compare, bind_count, bind_report
from mousetrap.settings import Settings
from mousetrap.testing import run


@pytest.fixture
def days() -> Iterator[tuple[str, ...]]:
    """The feeds of the sample's days."""
    with served_week() as url:
        yield day_addresses(url)


def bindings(days: tuple[str, ...]) -> list[Binding]:
    """All stages; a request without addresses reads the first two days."""
    environ = {
        "MOUSETRAP_FETCH_ALLOW": urlsplit(days[0]).netloc,
        "MOUSETRAP_FEED_URLS": " ".join(days[:2]),
    }
    settings = Settings.from_environ(environ, [FEED, FETCH, DATABASE])
    binders = (bind_list_feeds, bind_fetch_feeds, bind_count, bind_report, bind_compare)
    return [bind(settings) for bind in binders]


def test_each_feed_is_counted_or_reported_by_what_it_holds_and_all_are_compared(
    days: tuple[str, ...],
) -> None:
    done: Comparison = run(bindings(days), FeedsRequest(days))

    found = [
        (report.title, report.earthquakes, [it.magnitude for it in report.strong]) for report in done.feeds
    ]
    assert found == [
        ("2018-01-31", 192, [6.1]),
        ("2018-02-01", 224, [6.0]),
        ("2018-02-02", 237, [6.0]),
        ("2018-02-03", 258, []),
        ("2018-02-04", 301, [6.1]),
        ("2018-02-05", 244, []),
        ("2018-02-06", 209, [6.4]),
        ("2018-02-07", 14, []),
    ]
    assert done.lost == 0


def test_a_request_without_addresses_reads_those_of_the_setting(days: tuple[str, ...]) -> None:
    done: Comparison = run(bindings(days), FeedsRequest())

    assert [report.title for report in done.feeds] == ["2018-01-31", "2018-02-01"]


def test_a_feed_that_is_named_twice_is_read_once(days: tuple[str, ...]) -> None:
    done: Comparison = run(bindings(days), FeedsRequest((days[0], days[1], days[0])))

    assert [report.title for report in done.feeds] == ["2018-01-31", "2018-02-01"]


def test_half_of_the_feeds_are_enough(days: tuple[str, ...]) -> None:
    gone = days[0].replace("2018", "1918")

    done: Comparison = run(bindings(days), FeedsRequest((gone, days[0])))

    assert ([report.title for report in done.feeds], done.lost) == (["2018-01-31"], 1)
    with pytest.raises(FeedRefused):
        run(bindings(days), FeedsRequest((gone, days[0], f"{gone}x")))


def test_the_stages_that_fetch_share_what_they_open() -> None:
    settings = Settings.from_environ({}, [FEED, FETCH])

    assert bind_fetch(settings).lifespan == bind_fetch_feeds(settings).lifespan
