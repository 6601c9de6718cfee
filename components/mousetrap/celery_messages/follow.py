"""Judges what is sent when a call has ended."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from mousetrap.celery_messages.declared import Declared
from mousetrap.celery_messages.invocation import Invocation, NotUnderstood, read_time
from mousetrap.celery_messages.sending import Signature, derived_id

_CHORD = (
    "it leads to a chord, whose header Celery counts in its result backend, which a run does not write: let Celery's workers "
    "do these tasks, or make the chord a pipeline with `gather`"
)

#: A signature, and the chain that is left after it.
_Follow = tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]


class _Options(msgspec.Struct, frozen=True):
    """What is read of a signature's options."""

    task_id: str | None = None
    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    countdown: float | None = None
    eta: str | None = None
    expires: float | str | None = None
    chord: Any = None
    link: list[dict[str, Any]] | None = None
    link_error: list[dict[str, Any]] | None = None


class _Signature(msgspec.Struct, frozen=True):
    task: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    options: _Options = _Options()
    subtask_type: str | None = None
    immutable: bool = False


def is_more(call: Invocation, declared: Declared) -> bool:
    """Whether there is something to send when the call has ended."""
    return call.leads_on or bool(declared.answers and call.reply_to)


def check_follows(call: Invocation) -> None:
    """Raises NotUnderstood where something follows the call that could not be sent."""
    if call.chord:
        raise NotUnderstood(_CHORD)
    for each in (*call.callbacks, *call.errbacks, *call.chain):
        for one in _spread(each):
            _queue(one, Declared())


def after_done(call: Invocation, result: Any, declared: Declared, now: datetime) -> Sequence[Signature]:
    """What is sent when the call is done: its callbacks, and the next of its chain with the rest of that."""
    follows: list[_Follow] = [(each, ()) for each in call.callbacks]
    if call.chain:
        follows.append((call.chain[-1], call.chain[:-1]))
    return list(_signatures(call, follows, (result,), declared, now))


def after_failed(call: Invocation, declared: Declared, now: datetime) -> Sequence[Signature]:
    """What is sent when the call has failed: its errbacks, with its id."""
    return list(_signatures(call, [(each, ()) for each in call.errbacks], (call.id,), declared, now))


def _signatures(
    call: Invocation,
    follows: Sequence[_Follow],
    given: tuple[Any, ...],
    declared: Declared,
    now: datetime,
) -> Iterator[Signature]:
    place = 0
    for raw, rest in follows:
        for one in _spread(raw):
            place += 1
            yield Signature(
                task=one.task,
                queue=_queue(one, declared),
                args=one.args if one.immutable else (*given, *one.args),
                kwargs=one.kwargs,
                id=one.options.task_id or derived_id(f"{call.id}|{place}"),
                root_id=call.root_id,
                parent_id=call.id,
                eta=_moment(one.options.countdown or one.options.eta, now),
                expires=_moment(one.options.expires, now),
                callbacks=one.options.link or (),
                errbacks=one.options.link_error or (),
                chain=rest,
            )


def _spread(raw: Mapping[str, Any]) -> Sequence[_Signature]:
    """The signature, or those of a group. Raises NotUnderstood for a chord, and for what is no signature."""
    try:
        one = msgspec.convert(raw, _Signature)
        if one.subtask_type == "group":
            return [each for inner in one.kwargs.get("tasks", ()) for each in _spread(inner)]
    except (msgspec.ValidationError, RecursionError) as error:
        raise NotUnderstood(f"what follows it is no signature ({error}): {str(raw)[:200]}") from error
    if one.subtask_type == "chord" or one.options.chord:
        raise NotUnderstood(_CHORD)
    if one.subtask_type is not None:
        raise NotUnderstood(
            f"it leads to a {one.subtask_type}, which is not read here: send on a task, a chain or a group"
        )
    return [one]


def _queue(one: _Signature, declared: Declared) -> str:
    """Where Celery's own routing would be asked: the signature names the queue, or the declarations do."""
    options = one.options
    if options.queue:
        return options.queue
    if options.exchange:
        raise NotUnderstood(
            f"{one.task} follows through the exchange {options.exchange!r}: name its queue in the signature, `.set(queue=…)`"
        )
    return options.routing_key or declared.queue_of(one.task)


def _moment(given: float | str | None, now: datetime) -> datetime | None:
    if given is None or given == 0:
        return None
    if isinstance(given, str):
        return read_time("eta or expires", given)
    return now + timedelta(seconds=given)
