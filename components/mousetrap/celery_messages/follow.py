"""Judges what is sent when a call has ended."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from mousetrap.celery_messages.declared import Declared
from mousetrap.celery_messages.invocation import Invocation, NotUnderstood, plain, read_time
from mousetrap.celery_messages.sending import Signature, derived_id

_CHORD = (
    "it leads to a chord, whose header Celery counts in its result backend, which a run does not write: let Celery's workers "
    "do these tasks, or make the chord a pipeline with `gather`"
)

_OF_ITS_OWN = "it leads to a chain with arguments or options of its own, which are not read: give them to the chain's members"
#: Seconds of a countdown; a date has an end, and a run's delay ends after 291 days.
_LONGEST_S = 100 * 365 * 86_400.0
#: Bytes that a message's properties have room for: its id, the queue of its answer.
_LONGEST_ID = 255
#: Any will do: a countdown is checked before it begins to count.
_SOME_TIME = datetime(2000, 1, 1, tzinfo=UTC)

_Raw = Mapping[str, Any]
#: The chain that is left after a signature, the next one last.
_Left = Sequence[_Raw]
#: A signature, what is left after it, and what its members' ids are derived from beside the call's.
_Follow = tuple[_Raw, _Left, str]


class _Options(msgspec.Struct, frozen=True):
    """What is read of a signature's options."""

    task_id: str | None = None
    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    countdown: float | None = None
    #: A time as text, or with kombu's mark around that.
    eta: str | dict[str, Any] | None = None
    expires: float | str | dict[str, Any] | None = None
    reply_to: str | None = None
    priority: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None
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

    @property
    def members(self) -> tuple[dict[str, Any], ...]:
        """Of a group or a chain. Raises ValidationError."""
        return msgspec.convert(self.kwargs.get("tasks"), tuple[dict[str, Any], ...])

    @property
    def has_its_own(self) -> bool:
        """Whether a chain has more than members; freezing gives it an id and a place for answers, which its last member has too."""
        options = msgspec.structs.replace(self.options, task_id=None, reply_to=None)
        return bool(self.args or self.immutable or self.kwargs.keys() != {"tasks"} or options != _Options())


def is_more(call: Invocation, declared: Declared) -> bool:
    """Whether there is something to send when the call has ended."""
    return call.leads_on or bool(declared.answers and call.reply_to)


def check_follows(call: Invocation) -> None:
    """Raises NotUnderstood where something follows the call that could not be sent."""
    if call.chord:
        raise NotUnderstood(_CHORD)
    _check_id("id", call.id)
    for each in (*call.callbacks, *call.errbacks, *call.chain):
        _check(each)


def after_done(call: Invocation, result: Any, declared: Declared, now: datetime) -> Sequence[Signature]:
    """What is sent when the call is done: its callbacks, and the next of its chain with the rest of that."""
    follows: list[_Follow] = [(each, (), "") for each in call.callbacks]
    if call.chain:
        follows.append((call.chain[-1], call.chain[:-1], ""))
    return list(_signatures(call, follows, (result,), declared, now))


def after_failed(call: Invocation, declared: Declared, now: datetime) -> Sequence[Signature]:
    """What is sent when the call has failed: its errbacks, with its id."""
    # After a redrive its callbacks are sent as well: their ids have to be others.
    follows: list[_Follow] = [(each, (), "failed|") for each in call.errbacks]
    return list(_signatures(call, follows, (call.id,), declared, now))


def waited_for(call: Invocation, is_done: bool) -> Sequence[tuple[str, str]]:
    """The ids of the tasks whose end this is, each with the queue in which somebody waits: without a result its chain ends as well."""
    rest = [msgspec.convert(each, _Signature).options for each in (() if is_done else call.chain)]
    ends = [(call.id, call.reply_to), *((each.task_id or "", each.reply_to or "") for each in rest)]
    return [(task_id, queue) for task_id, queue in ends if task_id and queue]


def _signatures(
    call: Invocation,
    follows: Sequence[_Follow],
    given: tuple[Any, ...],
    declared: Declared,
    now: datetime,
) -> Iterator[Signature]:
    place = 0
    for raw, rest, key in follows:
        for one, left in _spread(raw, rest):
            place += 1
            options = one.options
            yield Signature(
                task=one.task,
                queue=_queue(one, declared),
                args=one.args if one.immutable else (*given, *one.args),
                kwargs=one.kwargs,
                id=options.task_id or derived_id(f"{call.id}|{key}{place}"),
                root_id=call.root_id,
                parent_id=call.id,
                eta=_moment(options.countdown or options.eta, now),
                expires=_moment(options.expires, now),
                reply_to=options.reply_to or "",
                priority=options.priority or 0,
                callbacks=options.link or (),
                errbacks=options.link_error or (),
                chain=left,
            )


def _check(raw: _Raw) -> None:
    for one, left in _spread(raw):
        _queue(one, Declared())
        for given in (one.options.countdown, one.options.eta, one.options.expires):
            _moment(given, _SOME_TIME)
        _check_id("id", one.options.task_id)
        _check_id("reply_to", one.options.reply_to)
        for each in left:
            _check(each)


def _check_id(name: str, given: str | None) -> None:
    if given and len(given.encode()) > _LONGEST_ID:
        raise NotUnderstood(
            f"the {name} {given[:60]!r}… has more than the {_LONGEST_ID} bytes that a broker takes: give a shorter one"
        )


def _spread(raw: _Raw, rest: _Left = ()) -> Sequence[tuple[_Signature, _Left]]:
    """What is sent for a signature, each with what is left after it: itself, the members of a group, or a chain's first.

    Raises NotUnderstood for a chord, and for what is no signature.
    """
    try:
        one = msgspec.convert(raw, _Signature)
        if one.subtask_type == "group":
            return [each for inner in one.members for each in _spread(inner, rest)]
        if one.subtask_type == "chain":
            left = (*rest, *reversed(one.members))
            if one.has_its_own:
                raise NotUnderstood(_OF_ITS_OWN)
            return _spread(left[-1], left[:-1]) if left else []
    except (msgspec.ValidationError, RecursionError) as error:
        raise NotUnderstood(f"what follows it is no signature ({error}): {str(raw)[:200]}") from error
    if one.subtask_type == "chord" or one.options.chord:
        raise NotUnderstood(_CHORD)
    if one.subtask_type is not None:
        raise NotUnderstood(
            f"it leads to a {one.subtask_type}, which is not read here: send on a task, a chain or a group"
        )
    return [(one, rest)]


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


def _moment(given: Any, now: datetime) -> datetime | None:
    """A time, or so many seconds from now. Raises NotUnderstood."""
    given = plain(given)
    if given is None or given == 0:
        return None
    if isinstance(given, str):
        return read_time("eta or expires", given)
    if not isinstance(given, int | float) or abs(given) > _LONGEST_S:
        raise NotUnderstood(
            f"what follows it has {str(given)[:60]} as its countdown, eta or expires: give a time, or seconds of at most 100 years"
        )
    return now + timedelta(seconds=given)
