"""The example's pipeline: fetch on `start_fetch`, then process on `data_processing`."""

from mousetrap.earthquakes.contracts import Feed, FeedRefused, FeedRequest, Summary
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy

EARTHQUAKES = Pipeline(
    name="earthquakes",
    description="Reads a feed of earthquakes and summarises it: how many, how strong, how deep, and where.",
    stages=(
        Stage(
            name="fetch",
            queue="start_fetch",
            input=FeedRequest,
            output=Feed,
            retry=RetryPolicy(attempts=5, base=1.0, cap=60.0, dont_retry_on=(FeedRefused,)),
        ),
        # While the database is unreachable the stage waits; it notices its return within half a minute.
        Stage(
            name="process",
            queue="data_processing",
            input=Feed,
            output=Summary,
            retry=RetryPolicy(attempts=5, base=1.0, cap=30.0),
        ),
    ),
)
