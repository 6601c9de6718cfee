"""Any error, from a sync or async handler, becomes a storable outcome."""

import asyncio
import concurrent.futures
import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mousetrap.handlers import Binding, BoundHandler, HandlerHost, HungHandlers, bound
from mousetrap.handlers.outcomes import judged
from mousetrap.jobs import Done, Failure, GiveUp, Job, Message, Outcome, RetryLater, first_job
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy, TryAgain
from mousetrap.shapes import Progress
from mousetrap.worker.dead_letter import dead_letter
from support.hostile_handlers import AttributesRaise, OddText, Panic

BASES: list[type[BaseException]] = [
    BaseException,
    Exception,
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
    StopIteration,
    StopAsyncIteration,
    MemoryError,
    RecursionError,
    TimeoutError,
    OSError,
    SyntaxError,
    NameError,
    AttributeError,
    ImportError,
    UnicodeDecodeError,
    UnicodeEncodeError,
    TryAgain,
    Panic,
]
#: What we, the interpreter and the standard library ask an error.
ATTRIBUTES = [
    "__str__",
    "__repr__",
    "__cause__",
    "__context__",
    "__notes__",
    "__traceback__",
    "__suppress_context__",
    "__class__",
    "__dict__",
    "__eq__",
    "__hash__",
    "__bool__",
    "__len__",
    "__format__",
    "args",
    "retry_after",
    "seconds",
    "after",
    "at",
    "name",
    "obj",
    "filename",
    "lineno",
    "offset",
    "text",
    "msg",
    "exceptions",
]
TEXTS = st.text(st.characters(exclude_categories=()), max_size=30)
#: Makes an unexpected value; as functions, for Hypothesis inspects the values that it draws.
ODD: st.SearchStrategy[Callable[[], Any]] = st.one_of(
    st.one_of(st.none(), st.integers(), st.floats(), TEXTS, st.binary(), st.lists(st.integers() | TEXTS)).map(
        lambda value: lambda: value
    ),
    st.sampled_from([OddText, AttributesRaise, object, lambda: "x" * 100_000, lambda: 10**400]),
)
Making = Callable[[], Any]


def raising(kind: type[BaseException]) -> Making:
    def refuse() -> Any:
        raise kind.__new__(kind)

    return refuse


@st.composite
def classes(draw: st.DrawFn) -> Making:
    """Makes a class of errors some of whose attributes raise, or are nothing that anyone expects."""
    names = draw(st.lists(st.sampled_from(ATTRIBUTES), max_size=4, unique=True))
    acts = {name: draw(st.sampled_from(BASES).map(raising) | ODD) for name in names}
    base = draw(st.sampled_from(BASES))
    own_name = draw(TEXTS).encode(errors="replace").decode().replace("\0", "")
    called = ("__str__", "__repr__", "__eq__", "__hash__")

    def member(name: str) -> Any:
        act = acts[name]
        return (lambda *_: act()) if name in called else property(lambda _: act())

    return lambda: type(own_name, (base,), {name: member(name) for name in names})


@st.composite
def errors(draw: st.DrawFn, depth: int = 2) -> Making:
    """Makes an error of such a class, with others for its causes and its parts."""
    cause = draw(errors(depth - 1)) if depth and draw(st.booleans()) else None
    text, kind, arguments = draw(TEXTS), draw(classes()), draw(st.lists(ODD, max_size=2))
    group = depth and draw(st.integers(0, 4)) == 0
    parts = draw(st.lists(errors(depth - 1), min_size=1, max_size=3)) if group else []

    def make() -> BaseException:
        if parts:
            error: BaseException = BaseExceptionGroup(text, [part() for part in parts])
        else:
            made = kind()
            error = made.__new__(made, *(argument() for argument in arguments))
        if cause is not None:
            BaseException.__dict__["__cause__"].__set__(error, cause())
        return error

    return make


def bound_handler(
    handler: Callable[..., Any],
    threads: ThreadPoolExecutor,
    policy: RetryPolicy,
    soft_timeout: float | None = None,
) -> BoundHandler:
    stage = Stage(name="s", queue="q", input=int, output=int, retry=policy, soft_timeout=soft_timeout)
    pipeline = Pipeline(name="p", description="One stage.", stages=(stage,))
    host = HandlerHost(threads=threads, hung=HungHandlers(), worker="w", report=drop)
    return bound(Binding(pipeline=pipeline, stage="s", handler=handler), None, host)


async def drop(run_id: str, progress: Progress) -> None:
    """Keeps no report."""


JOB = first_job(run_id="r", pipeline="p", stage="s", payload=b"1", accepted_ms=1)
GOOD = msgspec.structs.replace(JOB, payload=msgspec.Raw(b"0"))


def performed(handler: Callable[..., Any], policy: RetryPolicy) -> tuple[Outcome, Outcome]:
    """What comes of a job that raises, and of a good one after it in the same task."""

    async def both() -> tuple[Outcome, Outcome]:
        with ThreadPoolExecutor(1) as threads:
            one = bound_handler(handler, threads, policy)
            task = asyncio.current_task()
            assert task is not None
            outcomes = await one.run(JOB, fence=1), await one.run(GOOD, fence=1)
            assert not task.cancelling()
            return outcomes

    return asyncio.run(asyncio.wait_for(both(), 60))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(error=errors(), picky=classes())
def test_any_error_is_an_outcome_that_can_be_stored_and_sent(error: Making, picky: Making) -> None:
    def fail(number: int) -> int:
        if number:
            raise error()
        return number

    async def fail_later(number: int) -> int:
        return fail(number)

    policy = RetryPolicy(attempts=3, dont_retry_on=(picky(),))
    for handler in (fail, fail_later):
        outcome, good = performed(handler, policy)

        assert isinstance(outcome, RetryLater | GiveUp)
        assert isinstance(good, Done)
        check(JOB, outcome)


def check(job: Job, outcome: RetryLater | GiveUp) -> None:
    failure = outcome.failure
    assert failure.kind
    assert len(failure.text) <= 1_000
    assert msgspec.json.decode(msgspec.json.encode(failure), type=Failure) == failure
    if isinstance(outcome, RetryLater):
        assert 0 <= outcome.after <= 30 * 86_400
    message = Message("id", b"{}")
    letter = dead_letter(message, "q", "not-retryable", outcome.failure, job=job, worker="w", now_ms=1)
    for name, value in letter.headers.items():
        assert f"{name}{value}".encode().isascii() or value


class Large:
    """What a handler holds when it fails."""


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("soft_timeout", [None, 60.0])
async def test_what_a_failed_attempt_held_is_freed_at_once_and_not_by_the_collector(
    is_async: bool, soft_timeout: float | None
) -> None:
    held: list[weakref.ref[Large]] = []

    def fail(number: int) -> int:
        large = Large()
        held.append(weakref.ref(large))
        raise ValueError("no")

    async def fail_later(number: int) -> int:
        return fail(number)

    gc.disable()
    try:
        with ThreadPoolExecutor(1) as threads:
            one = bound_handler(fail_later if is_async else fail, threads, RetryPolicy(), soft_timeout)
            assert isinstance(await one.run(JOB, fence=1), RetryLater)
        await asyncio.sleep(0)  # the loop's step that woke us holds the handler's task
        assert held[0]() is None
    finally:
        gc.enable()


class _AskedRaises(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise asyncio.CancelledError

    def __subclasscheck__(cls, subclass: type) -> bool:
        return True


class OddClass(Exception, metaclass=_AskedRaises):
    """A class whose instance check raises."""


@pytest.mark.parametrize("name", ["retry_on", "dont_retry_on", "outages"])
def test_a_policy_whose_classes_cannot_be_asked_fails_no_judgement(name: str) -> None:
    policy = RetryPolicy(**{name: (OddClass,)})  # type: ignore[arg-type]
    stage = Stage(name="add", queue="add", input=int, output=int, retry=policy)

    assert isinstance(judged(ValueError("wrong"), 1, stage, 0.5, 0.0), RetryLater)


class _ClassRaises(BaseException):
    @property
    def __class__(self) -> Any:
        raise KeyboardInterrupt

    @__class__.setter
    def __class__(self, kind: Any) -> None:
        raise KeyboardInterrupt


def test_an_error_whose_class_cannot_be_asked_is_judged() -> None:
    stage = Stage(name="add", queue="add", input=int, output=int)

    assert isinstance(judged(_ClassRaises(), 1, stage, 0.5, 0.0), RetryLater)
