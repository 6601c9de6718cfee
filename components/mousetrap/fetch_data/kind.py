"""Judges whether a feed is quiet or strong."""

import msgspec

from mousetrap.earthquakes import STRONG, Feed, QuietFeed, StrongFeed


def quiet_or_strong(feed: Feed) -> QuietFeed | StrongFeed:
    """The same feed, as the kind that it is: strong with an earthquake of magnitude 6 or more."""
    strong = any(event.kind == "earthquake" and (event.magnitude or 0.0) >= STRONG for event in feed.events)
    return (StrongFeed if strong else QuietFeed)(**msgspec.structs.asdict(feed))
