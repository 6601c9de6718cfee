"""The example's settings: feed, bounds of a fetch, database."""

from typing import Annotated

from msgspec import Meta

from mousetrap.settings import (
    Group,
    NetworkSeconds,
    SettingsGroup,
    check_address,
    check_http,
    check_places,
)


class FeedSettings(SettingsGroup, frozen=True, kw_only=True):
    """MOUSETRAP_FEED_…"""

    #: The feed that a run reads which names none; empty means the last week's.
    url: str = ""
    #: The feeds that a run of several reads which names none, separated by spaces; empty means four of the survey's.
    urls: str = ""


class FetchSettings(SettingsGroup, frozen=True, kw_only=True):
    """MOUSETRAP_FETCH_…"""

    #: host or host:port, separated by commas, that fetches may reach although the address is a private one.
    allow: str = ""
    #: Longest fetch, from the first look-up to the last byte.
    seconds: NetworkSeconds = 30.0
    #: Bytes of a fetched feed, unpacked.
    max_bytes: Annotated[int, Meta(ge=1, le=1_073_741_824)] = 33_554_432


class DatabaseSettings(SettingsGroup, frozen=True, kw_only=True):
    """MOUSETRAP_DATABASE_…"""

    #: Where the summaries are kept: any SQLAlchemy address; tested with sqlite and postgresql+psycopg.
    url: str = "sqlite:///mousetrap.db"


def _check_feed(url: str) -> None:
    if url:
        check_http(url)


def _check_feeds(urls: str) -> None:
    for url in urls.split():
        check_http(url)


def _check_database(url: str) -> None:
    if "://" not in url:
        raise ValueError("write an address, as sqlite:///mousetrap.db")
    check_address(url)


FEED = Group("feed", FeedSettings, checks={"url": _check_feed, "urls": _check_feeds})
FETCH = Group("fetch", FetchSettings, checks={"allow": check_places})
DATABASE = Group("database", DatabaseSettings, checks={"url": _check_database})
