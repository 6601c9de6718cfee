"""An outage of the store is logged once."""

from contextlib import suppress

import pytest

from mousetrap.housekeeping import republish_duty
from mousetrap.jobs import MousetrapError, QueueUnreachable, StoreUnreachable


class FakeSubmitter:
    """Raises the errors in turn; None for a round that succeeds."""

    def __init__(self, *errors: MousetrapError | None) -> None:
        self._errors = list(errors)

    async def republish(self) -> int:
        if error := self._errors.pop(0):
            raise error
        return 0


async def test_an_outage_of_the_store_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    away = StoreUnreachable("cannot reach the store")
    duty = republish_duty(FakeSubmitter(away, away, None, None))  # type: ignore[arg-type]

    for _ in range(4):
        await duty.act()

    assert [record.getMessage() for record in caplog.records] == [
        "waiting for the store: cannot reach the store. Check that MOUSETRAP_STORE_URL names it",
        "the store serves again",
    ]


async def test_an_outage_of_the_broker_is_not_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    duty = republish_duty(FakeSubmitter(QueueUnreachable("away")))  # type: ignore[arg-type]

    with suppress(QueueUnreachable):
        await duty.act()

    assert caplog.records == []
