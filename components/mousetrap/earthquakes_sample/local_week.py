"""Gives a stack on this machine the week of earthquakes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from mousetrap.catalogue_entries import Sample, SampleRun
from mousetrap.earthquakes import EARTHQUAKES, FEEDS, FeedRequest, FeedsRequest
from mousetrap.earthquakes_sample.feed_server import day_addresses, served_week
from mousetrap.earthquakes_settings import DATABASE, FETCH
from mousetrap.settings import Settings, masked, write_private

#: The file in a stack's folder that holds the port of its feed.
_PORT_FILE = "feed-port"


@contextmanager
def local_week(folder: Path, settings: Settings, given: frozenset[str]) -> Iterator[Sample]:
    """The sample of a stack whose data are in `folder`; `given` names the settings that are no defaults.

    The feed keeps its port, which is in the input of earlier runs, so that these can be repeated.
    """
    with served_week(_earlier_port(folder)) as url:
        write_private(folder / _PORT_FILE, str(urlsplit(url).port))
        yield _sample(url, folder, settings, given)


def _sample(url: str, folder: Path, settings: Settings, given: frozenset[str]) -> Sample:
    variables = {
        # The feed may be fetched although its address is this machine's own.
        "MOUSETRAP_FETCH_ALLOW": ",".join(filter(None, (settings.of(FETCH).allow, urlsplit(url).netloc)))
    }
    days = day_addresses(url)
    if "feed_url" not in given:
        variables["MOUSETRAP_FEED_URL"] = url
    if "feed_urls" not in given:
        variables["MOUSETRAP_FEED_URLS"] = " ".join(days)
    database = settings.of(DATABASE).url
    if "database_url" not in given:
        database = variables["MOUSETRAP_DATABASE_URL"] = _own_database(folder)
    return Sample(
        pipeline=EARTHQUAKES.name,
        input=msgspec.json.encode(FeedRequest(url)),
        about="a week of earthquakes that needs no internet",
        facts={"feed": f"{url}, a real week from the U.S. Geological Survey"},
        results={"summary": masked(database)},
        variables=variables,
        then=(
            SampleRun(
                pipeline=FEEDS.name,
                input=msgspec.json.encode(FeedsRequest(days)),
                facts={"feeds": f"the same week, in {len(days)} feeds of a day"},
            ),
        ),
    )


def _own_database(folder: Path) -> str:
    """The address of a database in `folder`. SQLite gives the files beside a database the mode of the database."""
    path = folder / "summaries.db"
    path.touch(mode=0o600)
    return f"sqlite:///{path}"


def _earlier_port(folder: Path) -> int:
    """The port that the feed had in this folder the last time; 0 for none."""
    try:
        return int((folder / _PORT_FILE).read_text())
    except (OSError, ValueError):
        return 0
