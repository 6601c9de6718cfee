"""Writes a run into the caller's transaction, to be submitted after it."""

import math
import os
import re
from datetime import UTC, datetime
from typing import Any, Protocol, Unpack

import msgspec

from mousetrap.blobs import has_files
from mousetrap.handlers import Call, Chain, Task
from mousetrap.outbox.entry import kept_words
from mousetrap.outbox.table import DEFAULT_TABLE, LONGEST_KEY, WAITING, row_class
from mousetrap.pipeline import ContractBroken, Pipeline, write
from mousetrap.submit_run import OptionInvalid, RunOptions, new_run_id, read_options

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

Target = Pipeline | Task[..., Any] | Chain[..., Any] | Call[Any] | str
#: The input where the target is a call, which has one.
_OF_CALL: Any = msgspec.UNSET


class Adds(Protocol):
    """What is needed of a Session, of an AsyncSession, and of a scoped one."""

    def add(self, instance: Any) -> None: ...


def submit_on_commit(
    session: Adds,
    target: Target,
    input: Any = _OF_CALL,
    *,
    key: str = "",
    table: str = DEFAULT_TABLE,
    **options: Unpack[RunOptions],
) -> str:
    """Adds a row to the session, whose run a relay submits once the transaction is committed. Returns the run's id.

    The target is a task, a chain, a call of one (`task.call(…)`, which has the input), a pipeline, or a pipeline's name: then
    the relay checks the input. The runs of one `key` are submitted in the order of their rows; a delay and an expiry count
    from this call on. Nothing is read or sent here: the session writes the row into `table` with its next flush, and a
    transaction that is rolled back leaves none. Raises ContractBroken for an input that does not fit, OptionInvalid (a
    ValueError), with the fix, for options without a meaning, and TypeError for an unknown one.
    """
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise OptionInvalid(
            "key", f"the key {key[:20]!r} is refused: give at most {LONGEST_KEY} printable characters"
        )
    pipeline, body = _checked(target, input)
    if has_files(body):  # the relay, in another process, could not read it
        raise ContractBroken(
            "the outbox takes no file, as Blob.of makes one of it: a row holds no file's bytes. Submit it with a client after "
            "the commit, or give an address from which the handler reads it"
        )
    now = datetime.now(UTC)
    start = read_options(options)
    terms = start.terms(now)
    row = row_class(table)()
    now_s = now.timestamp()
    row.created_ms = now_ms = int(now_s * 1000)
    row.key = key
    row.state = WAITING
    row.run_id = start.run_id(pipeline, new_run_id(now_ms, os.urandom(10)))
    row.pipeline = pipeline
    row.input = body.decode()
    row.due_ms = math.ceil((now_s + terms.delay_s) * 1000) if terms.delay_s else None
    row.expires_ms = None if terms.expires_in is None else math.ceil((now_s + terms.expires_in) * 1000)
    row.tags = msgspec.json.encode(kept_words(terms)).decode()
    session.add(row)
    return str(row.run_id)


def _checked(target: Target, input: Any) -> tuple[str, bytes]:
    """The pipeline's name, and the input as JSON."""
    if isinstance(target, Call) is not (input is _OF_CALL):
        raise TypeError(f"{target!r}: give an input, unless it is a call, which has one already")
    match target:
        case str():
            if not _NAME.fullmatch(target):
                raise ValueError(f"{target[:80]!r} is no pipeline's name: it has letters, digits, _ and -")
            return target, write(input, Any)
        case Pipeline():
            return target.name, write(input, target.stages[0].input)
        case Call():
            return target.pipeline.name, target.input
        case _:
            return target.pipeline.name, target.call(input).input
