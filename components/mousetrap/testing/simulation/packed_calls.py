"""Reads the transitions of packed records from the commands of a call."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

_RUN_KEY = re.compile(r"mousetrap:\{(.+)\}:run")
_JOB_KEY = re.compile(r"mousetrap:\{(.+)\}:job:(.+)")

#: A transition: its name, its arguments, its reply.
Transition = tuple[str, list[Any], list[Any]]


def packed_calls(commands: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
    """The name and the arguments of each transition that the commands ask for.

    Plain ones are `plain_open` with the id of the run, and `plain_claim`, `plain_decision` and `plain_completion` with the
    ids of job and run.
    """
    for command in commands:
        yield from _calls(command)


def packed_transitions(commands: Sequence[Sequence[Any]], replies: Sequence[Any]) -> list[Transition]:
    """The transitions that the commands asked for, with the reply to each."""
    happened: list[Transition] = []
    for command, reply in zip(commands, replies, strict=True):
        calls = [] if isinstance(reply, Exception) else _calls(command)
        of_each = reply if isinstance(reply, list) else [reply]
        happened += [
            (name, arguments, _answer(name, own))
            for (name, *arguments), own in zip(calls, of_each, strict=False)
        ]
    return happened


def _calls(command: Sequence[Any]) -> list[list[Any]]:
    match command:
        case ["FCALL", str(name), int(count), *words] if name.endswith("_join"):
            run, records = words[count], words[count + 5 :: 4]
            jobs = words[count - len(records) : count]
            return [
                ["plain_decision", job[2], run, record]
                for key, record in zip(jobs, records, strict=True)
                if (job := _JOB_KEY.fullmatch(key))
            ]
    return [] if (call := _call(command)) is None else [call]


def _call(command: Sequence[Any]) -> list[Any] | None:
    match command:
        case ["SET", key, record, "NX", "GET", *_] if run := _RUN_KEY.fullmatch(key):
            return ["plain_open", run[1]]
        case ["SET", key, record, "NX", "GET", *_] if job := _JOB_KEY.fullmatch(key):
            return ["plain_claim", job[2], job[1], record]
        case ["SET", key, record, "IFEQ", *_] if job := _JOB_KEY.fullmatch(key):
            return ["plain_decision", job[2], job[1], record]
        case ["FCALL", name, 1, key, _, record, _] if name.endswith("_decide"):
            job = _JOB_KEY.fullmatch(key)
            return ["plain_decision", job[2], job[1], record] if job else None
        case ["FCALL", name, 2, key, _, _, record, _] if name.endswith("_decide"):
            job = _JOB_KEY.fullmatch(key)
            return ["plain_completion", job[2], job[1], record] if job else None
        case ["FCALL", _, int(count), *_, bytes(transition)] if 0 < count == len(command) - 4:
            decoded: list[Any] = msgspec.msgpack.decode(transition)
            return decoded[-1] if decoded[0] == "in_fan" else decoded  # the transition of a job in fans
    return None


def _answer(name: str, reply: Any) -> list[Any]:
    if name == "plain_open":
        return ["opened" if reply is None else "found"]
    if name == "plain_claim":
        return ["granted" if reply is None else "refused"]
    if name.startswith("plain_"):
        return ["recorded" if reply else "refused"]
    decoded: list[Any] = msgspec.msgpack.decode(reply)
    return decoded
