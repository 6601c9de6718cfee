"""Reports on quiet and strong feeds, and compares them."""

from mousetrap.earthquakes import STRONG, Comparison, FeedReport, QuietFeed, StrongFeed
from mousetrap.pipeline import Gathered
from mousetrap.process_data.process import EARTHQUAKE, each_once, process_data


def count_quiet(feed: QuietFeed) -> FeedReport:
    """How many earthquakes it has: without strong ones nothing else is compared."""
    return FeedReport(feed.title, sum(event.kind == EARTHQUAKE for event in each_once(feed.events)))


def report_strong(feed: StrongFeed) -> FeedReport:
    """How many earthquakes it has, and which of them were strong."""
    summary = process_data(feed)
    strong = [event for event in summary.strongest if (event.magnitude or 0.0) >= STRONG]
    return FeedReport(feed.title, summary.earthquakes, strong)


def compare(reports: Gathered[FeedReport]) -> Comparison:
    """The feeds side by side, in the order of the request."""
    return Comparison([report for _, report in reports], reports.lost)
