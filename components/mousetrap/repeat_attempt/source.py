"""Writes a job as Python."""

import ast
from pprint import pformat

import msgspec

from mousetrap.jobs import Job

#: Bytes of an input that is written as Python; a larger one is not for reading.
_MAX_LITERAL = 4_000
#: Characters of a line.
WIDTH = 100


def literal_of(payload: bytes) -> str | None:
    """The payload as Python; None for one that is too long, or that Python would not give back as it is."""
    if len(payload) > _MAX_LITERAL:
        return None
    try:
        text = pformat(msgspec.json.decode(payload), width=WIDTH, sort_dicts=False)
        exact = msgspec.json.encode(ast.literal_eval(text)) == msgspec.json.format(payload, indent=-1)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return text if exact else None


def job_source(job: Job, payload: str) -> str:
    """The assignment of JOB; `payload` is the expression of its payload."""
    names = (
        "id",
        "run_id",
        "pipeline",
        "stage",
        "parent",
        "attempt",
        "generation",
        "accepted_ms",
        "serializer",
    )
    given = {name: getattr(job, name) for name in names if getattr(job, name) not in (None, 0, msgspec.UNSET)}
    lines = [f"    {name}={_quoted(value)}," for name, value in given.items()]
    return "\n".join(["JOB = Job(", *lines, f"    payload={payload},", ")"])


def _quoted(value: object) -> str:
    text = repr(value)
    return f'"{text[1:-1]}"' if isinstance(value, str) and '"' not in text and "\\" not in text else text
