"""A secret in a handler's error is neither stored nor logged."""

import logging

import pytest

from mousetrap.jobs import decode
from support.workbench import workbench


@pytest.mark.parametrize("queue_fixture", ["store_url", "broker_url"])
async def test_no_secret_of_an_address_is_kept_with_a_failure(
    queue_fixture: str, store_url: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with workbench(request.getfixturevalue(queue_fixture), store_url) as bench:

        async def failing(number: int) -> int:
            long = "x" * 970  # the text is cut in the middle of the last address
            raise ConnectionError(f"no https://tok:sesame@h/?key=sesame {long} amqp://user:sesamesesame@h")

        async with bench.working(bench.bind("add", failing)):
            run = await bench.ended(await bench.submit())
            letter = await bench.dead_letter("add")

        assert run.failure is not None
        assert "https://***@h/?key=***" in run.failure.text
        assert decode(letter.body).run_id == run.id
        for kept in (str(run), str(letter), "\n".join(caplog.messages)):
            assert "ConnectionError" in kept
            assert "sesame" not in kept
