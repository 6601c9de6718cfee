"""Reads packed records without their inputs and verdicts."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.keys import packed_job_key, packed_run_key
from mousetrap.run_store.records import RecordBroken, RunRecord, decode_run
from mousetrap.store_client import Command

#: Sends commands, and gives a reply to each; an error is a value among them.
Ask = Callable[[Sequence[Command]], Awaitable[list[Any]]]

#: Bytes of a head: the facts of nearly all runs and jobs fit.
_HEAD_BYTES = 4_096


def run_head(run_id: str) -> Command:
    """Asks for the head of a run's record; the reply is empty where there is none."""
    return ("GETRANGE", packed_run_key(run_id), 0, _HEAD_BYTES - 1)


def job_head(run_id: str, job_id: str) -> Command:
    """Asks for the head of a job's record; the reply is empty where there is none."""
    return ("GETRANGE", packed_job_key(run_id, job_id), 0, _HEAD_BYTES - 1)


async def ask(send: Ask, commands: Sequence[Command]) -> list[Any]:
    """The replies, an error as a value among them. Records whose facts go on beyond their head are read whole, once more."""
    replies = await send(commands)
    cut = [place for place, reply in enumerate(replies) if _is_cut(commands[place], reply)]
    if cut:
        whole = await send([("GET", commands[place][1]) for place in cut])
        for place, reply in zip(cut, whole, strict=True):
            replies[place] = reply
    return replies


def read_run_head(reply: Any) -> RunRecord | None:
    """The run in a head or in a record, without all of its input; None for no run. Raises RecordBroken."""
    if not reply:
        return None
    if is_damage(reply):
        raise RecordBroken(str(reply))
    run = decode_run(reply)
    # A tombstone is no run.
    return run if run.state != "rejected" or run.facts.pipeline else None


def _is_cut(command: Command, reply: Any) -> bool:
    is_head = command[0] == "GETRANGE" and isinstance(reply, bytes)
    return is_head and len(reply) == _HEAD_BYTES and b"\n" not in reply
