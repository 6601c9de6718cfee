"""Steps the clock of a real store."""

from redis import Redis

from support.valkey import administrator

HOUR = 3_600.0
START = 1_800_000_000.0
_NOW = "redis.call('TIME')"
_TEST_TIME = "redis.call('HMGET', 'mousetrap:test_time', 'seconds', 'rest')"


def stepped(source: str) -> str:
    """Lua that reads the test's clock, a key, in place of the server's."""
    assert _NOW in source
    return source.replace(_NOW, _TEST_TIME)


class Clock:
    """The clock of a real server: its functions read a key of the test instead of the time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._now = START
        self.step(0.0)

    def step(self, seconds: float) -> None:
        """Moves the clock, back if `seconds` is negative."""
        self._now += seconds
        whole, rest = divmod(round(self._now * 1000), 1000)
        with Redis.from_url(administrator(self.url)) as client:
            client.hset("mousetrap:test_time", mapping={"seconds": whole, "rest": rest * 1000})

    def forget_functions(self) -> None:
        """Forgets all functions, as a restart of the server does."""
        with Redis.from_url(administrator(self.url)) as client:
            client.function_flush()
