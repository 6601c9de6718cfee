"""Finds the Valkey that tests run against: a given one, else the embedded server."""

from redis import Redis


class GivenValkey:
    """A server that others run; the database that its address names must be empty, for tests empty it."""

    def __init__(self, url: str) -> None:
        self.url = url
        with _client(url) as client:
            if client.dbsize():
                raise AssertionError(
                    "MOUSETRAP_TEST_STORE_URL names a database that holds data, and tests would delete them: "
                    "name an empty one, as in valkey://host:6379/9"
                )


def empty(url: str) -> None:
    """Deletes what the database holds."""
    with _client(url) as client:
        client.flushdb()


def _client(url: str) -> Redis:
    return Redis.from_url(url.replace("valkey", "redis", 1))  # the client knows the name of old only
