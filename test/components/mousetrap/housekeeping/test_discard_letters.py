"""Old dead letters are discarded; those without a time stay."""

import pytest

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.housekeeping.discard_letters import discard_older
from mousetrap.jobs import Message, dead_queue
from support.workbench import KEYRING, Workbench


async def test_dead_letters_older_than_the_setting_are_discarded_and_those_of_no_time_stay(
    bench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    letters = DeadLetters(bench.queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})
    queue = bench.queue_of("add")
    for name, at in (("old", "1000"), ("new", "900000"), ("no-time", "")):
        headers = {"mousetrap-reason": "contract", "mousetrap-at": at}
        await bench.queue.publish(dead_queue(queue), Message(name, b"x", headers))

    assert await discard_older(letters, 600.0, now_s=1000.0) == 1

    left = (await letters.look(Selection(queue=queue))).letters
    assert [letter.message.id for letter in left] == ["no-time", "new"]
    assert "discarded 1 dead letters" in caplog.text and "MOUSETRAP_DEAD_MAX_AGE_SECONDS" in caplog.text
