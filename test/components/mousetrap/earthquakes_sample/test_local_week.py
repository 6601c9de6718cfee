"""Tests what the sample adds to a stack on this machine."""

import stat
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from mousetrap.catalogue import SETTINGS
from mousetrap.catalogue_entries import Sample
from mousetrap.earthquakes import FEEDS, FeedRequest, FeedsRequest
from mousetrap.earthquakes_sample import day_addresses, local_week, packed_week
from mousetrap.settings import Settings


def sample(folder: Path, **environ: str) -> Sample:
    settings, given = Settings.from_environ(environ, SETTINGS), Settings.given_in(environ, SETTINGS)
    with local_week(folder, settings, given) as found:
        return found


def url(found: Sample) -> str:
    return msgspec.json.decode(found.input, type=FeedRequest).url


def test_the_input_names_a_feed_that_serves_the_week_and_may_be_fetched(tmp_path: Path) -> None:
    with local_week(tmp_path, Settings(), frozenset()) as found:
        answer = httpx.get(url(found), timeout=60)

    assert answer.json()["type"] == "FeatureCollection"
    assert len(packed_week()) == int(answer.headers["Content-Length"])
    assert found.variables["MOUSETRAP_FEED_URL"] == url(found)
    assert found.variables["MOUSETRAP_FETCH_ALLOW"] == urlsplit(url(found)).netloc


def test_a_second_run_reads_the_days_of_the_week_which_are_the_default_too(tmp_path: Path) -> None:
    found = sample(tmp_path)

    (more,) = found.then
    days = msgspec.json.decode(more.input, type=FeedsRequest).urls
    assert more.pipeline == FEEDS.name
    assert days == day_addresses(url(found))
    assert found.variables["MOUSETRAP_FEED_URLS"].split() == list(days)


def test_the_summaries_are_kept_in_the_folder_and_closed_to_others(tmp_path: Path) -> None:
    found = sample(tmp_path)

    database = tmp_path / "summaries.db"
    assert found.variables["MOUSETRAP_DATABASE_URL"] == f"sqlite:///{database}"
    assert found.results == {"summary": f"sqlite:///{database}"}
    assert stat.S_IMODE(database.stat().st_mode) == 0o600


def test_what_was_given_is_not_replaced(tmp_path: Path) -> None:
    found = sample(
        tmp_path,
        MOUSETRAP_DATABASE_URL="postgresql+psycopg://me:secret@db/x",
        MOUSETRAP_FEED_URL="http://intranet/week",
        MOUSETRAP_FEED_URLS="http://intranet/day http://intranet/hour",
        MOUSETRAP_FETCH_ALLOW="intranet",
    )

    assert found.variables == {"MOUSETRAP_FETCH_ALLOW": f"intranet,{urlsplit(url(found)).netloc}"}
    assert found.results == {"summary": "postgresql+psycopg://me:***@db/x"}


def test_a_feed_keeps_its_port_so_that_earlier_runs_can_be_repeated(tmp_path: Path) -> None:
    assert url(sample(tmp_path)) == url(sample(tmp_path))
