"""The program of docs/upgrading.md: it loses nothing, and keeps the order."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from mousetrap.job_queue import QueueOptions, connect, open_channel
from mousetrap.jobs import Message, QueueUnreachable, dead_queue
from support.inbox import Inbox, eventually
from support.processes import Process, clean_environment

DOCUMENT = Path(__file__).parents[4] / "docs/upgrading.md"
QUEUE, IDS = "start_fetch", ["m0", "m1", "m2", "delayed", "m3"]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The program, saved as in the document."""
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    path = tmp_path / "make_again.py"
    path.write_text(program)
    return path


async def test_queues_made_again_hold_what_the_old_ones_held_in_the_same_order(
    broker_url: str, script: Path
) -> None:
    await fill(broker_url)
    with pytest.raises(QueueUnreachable, match="has x-max-length 77"):
        open_channel(broker_url)

    assert run(script, broker_url, QUEUE, "data_processing") == (0, "")

    await all_is_there(broker_url)


async def test_a_run_that_was_cut_off_after_the_old_queue_was_deleted_is_finished_by_the_next(
    broker_url: str, script: Path
) -> None:
    await fill(broker_url)
    assert run(cut_off(script), broker_url, QUEUE)[0] == 3

    assert run(script, broker_url, QUEUE) == (0, "")

    await all_is_there(broker_url)


async def test_a_queue_that_a_worker_still_consumes_is_left_as_it_is(broker_url: str, script: Path) -> None:
    async with connect(broker_url, [QUEUE], name="test", options=QueueOptions(max_length=77)) as queue:
        inbox = Inbox()
        await queue.consume(QUEUE, 1, inbox)
        await queue.publish(QUEUE, Message("held", b"x"))
        held = await inbox.take()

        code, output = await asyncio.to_thread(run, script, broker_url, QUEUE)

        assert (code, "start_fetch is in use" in output) == (1, True)
        assert held.acknowledge()


def cut_off(script: Path) -> Path:
    """The program, which ends after it has deleted the old queue."""
    deleted = "channel.queue_delete(queue)"
    path = script.with_name("cut.py")
    path.write_text(script.read_text().replace(deleted, f"{deleted}; raise SystemExit(3)"))
    return path


async def fill(url: str) -> None:
    """A queue as another version made it, with messages that came in every way, and a dead letter."""
    async with connect(url, [QUEUE], name="test", options=QueueOptions(max_length=77)) as queue:
        for each in IDS:
            after = 0.1 if each == "delayed" else 0.0
            await queue.publish(
                QUEUE, Message(each, each.encode(), {"mousetrap-signature": each}), after=after
            )
            await eventually(lambda: queue.count_ready(QUEUE), IDS.index(each) + 1)
        await queue.publish(dead_queue(QUEUE), Message("dead", b"x"))


async def all_is_there(url: str) -> None:
    async with connect(url, [QUEUE], name="test") as queue:
        await eventually(lambda: queue.count_ready(QUEUE), len(IDS))
        inbox = Inbox()
        await queue.consume(QUEUE, 10, inbox)
        for each in IDS:
            delivery = await inbox.take()
            assert delivery.message == Message(each, each.encode(), {"mousetrap-signature": each})
            assert delivery.acknowledge()
        await eventually(lambda: queue.count_ready(dead_queue(QUEUE)), 1)


def run(script: Path, url: str, *queues: str) -> tuple[int, str]:
    """Its exit code and its output."""
    environment = clean_environment(MOUSETRAP_BROKER_URL=url)
    with Process([sys.executable, str(script), *queues], environment, script.parent) as program:
        return program.wait(), program.output
