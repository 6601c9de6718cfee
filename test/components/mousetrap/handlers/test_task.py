"""Tests that an annotated function is a task, or is refused."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict, cast

import msgspec
import pytest
from pydantic import BaseModel

from mousetrap.handlers import Context, Result, TaskRefused, Tasks, task
from mousetrap.pipeline import ContractBroken, Lock, read, schema
from mousetrap.retry import RetryPolicy


class Page(msgspec.Struct):
    """A contract."""

    text: str


class Model(BaseModel):
    """A contract of pydantic."""

    n: int


class Typed(TypedDict):
    """A contract that is a dictionary."""

    n: int


@dataclasses.dataclass
class Data:
    """A contract that is a dataclass."""

    n: int


NO_CONTEXT = cast(Context[None], None)


@task(queue="pages", retry=RetryPolicy(attempts=5), timeout=30, soft_timeout=20, lock=Lock(name="site"))
async def fetch(url: str, context: Context[None]) -> Page:
    """Fetches a page.

    The second line is for readers of the code.
    """
    return Page(url)


@task
def count(page: Page) -> dict[str, int]:
    return {page.text: 1}


@task(isolated=True)
def add(a: int, b: int = 2, *, extra: list[int] = [3], context: Context[None] | None = None) -> int:  # noqa: B006
    return a + b + sum(extra) + (0 if context is None else 100)


@task
async def tick() -> None: ...


@task
def mixed(page: Model, n: int = 1) -> Model:
    return Model(n=page.n + n)


def test_a_task_is_a_pipeline_of_one_stage_named_as_its_function() -> None:
    assert [stage.name for stage in count.pipeline.stages] == ["count"]
    assert (count.name, count.pipeline.name, count.stage.queue) == ("count", "count", "count")
    assert (count.stage.input, count.stage.output) == (Page, dict[str, int])
    assert (count.binding.pipeline, count.binding.stage) == (count.pipeline, count.stage)


def test_its_options_are_those_of_the_stage_and_the_binding() -> None:
    stage = fetch.stage

    assert (stage.queue, stage.retry.attempts, stage.timeout, stage.soft_timeout) == ("pages", 5, 30, 20)
    assert stage.lock == Lock(name="site")
    assert fetch.pipeline.description == "Fetches a page."
    assert add.binding.isolated


def test_called_it_is_the_plain_function() -> None:
    assert count(Page("a")) == {"a": 1}
    assert asyncio.run(fetch(url="x", context=NO_CONTEXT)) == Page("x")
    assert add(1, b=1) == 5
    assert fetch.__doc__ == fetch.function.__doc__


def test_the_usual_handler_is_the_function_itself() -> None:
    assert count.binding.handler is count.function
    assert fetch.binding.handler is fetch.function
    assert fetch.binding.takes_context
    assert fetch.binding.is_async
    assert not count.binding.takes_context


def test_several_parameters_are_one_object_with_their_names_and_defaults() -> None:
    given = read(b'{"a": 1}', add.input)

    assert add.binding.handler(given, NO_CONTEXT) == 6
    assert add.binding.takes_context
    assert add.binding.handler(read(b'{"a": 1, "b": 5, "extra": []}', add.input), object()) == 106
    properties = schema(add.input)["$defs"]["AddInput"]["properties"]
    assert properties["b"] == {"type": "integer", "default": 2}


@pytest.mark.parametrize(
    "raw", [b'{"b": 1}', b'{"a": "1"}', b'{"a": 1, "c": 1}', b'{"a": 1, "context": null}']
)
def test_an_object_that_does_not_fit_the_parameters_is_refused(raw: bytes) -> None:
    with pytest.raises(ContractBroken):
        read(raw, add.input)


@task
async def context_first(context: Context[None], page: Page) -> str:
    return f"{page.text} {context is None}"


def test_the_context_is_found_wherever_it_stands() -> None:
    assert context_first.stage.input is Page
    assert context_first.binding.takes_context
    assert asyncio.run(context_first.binding.handler(Page("a"), NO_CONTEXT)) == "a True"


def test_a_task_that_takes_nothing_takes_an_empty_object() -> None:
    given = read(b"{}", tick.input)

    assert asyncio.run(tick.binding.handler(given)) is None
    assert tick.binding.is_async


def test_parameters_of_pydantic_become_a_model() -> None:
    given = read(b'{"page": {"n": 2}}', mixed.input)

    assert mixed.binding.handler(given) == Model(n=3)
    with pytest.raises(ContractBroken, match="Extra inputs"):
        read(b'{"page": {"n": 2}, "more": 1}', mixed.input)


@pytest.mark.parametrize(
    "contract", [Page, Model, Typed, Data, int, list[Model], Page | None, dict[str, Data]]
)
def test_any_contract_works(contract: Any) -> None:
    def same(value: Any) -> Any:
        return value

    same.__annotations__ = {"value": contract, "return": contract}

    assert task(same).stage.input == contract


def test_its_binding_is_pickled_by_the_name_of_the_task() -> None:
    copied = pickle.loads(pickle.dumps(add.binding))

    assert copied == add.binding
    assert copied.handler(read(b'{"a": 1}', add.input), NO_CONTEXT) == 6


def test_a_class_of_the_same_function_as_the_task_is_found() -> None:
    class Local(msgspec.Struct):
        n: int

    @task
    def inner(value: Local) -> Local:
        return value

    assert inner.stage.input is Local


@asynccontextmanager
async def open_five() -> AsyncIterator[int]:
    yield 5


@asynccontextmanager
async def around(context: Context[int]) -> AsyncIterator[None]:
    yield


async def middleware(context: Context[int], payload: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
    return await call_next(payload)


def on_error(context: Context[int], error: BaseException, outcome: object) -> None: ...


app = Tasks(lifespan=open_five, around=around, middleware=[middleware], on_error=on_error)


@app.task(queue="pages", timeout=3)
def get(url: str, context: Context[int]) -> int:
    return context.deps


@app.task
async def put(url: str, context: Context[int]) -> int:
    return context.deps


def test_tasks_share_their_lifespan() -> None:
    assert (get.binding.lifespan, put.binding.lifespan) == (open_five, open_five)
    assert (get.stage.queue, get.stage.timeout, put.stage.queue) == ("pages", 3, "put")
    binding = get.binding
    assert (binding.around, binding.middleware, binding.on_error) == (around, (middleware,), on_error)
    assert Tasks().task(count.function).binding.lifespan is not open_five


@task
def halves(n: int) -> Generator[int, None, str]:
    while n > 1:
        n //= 2
        yield n
    return "done"


@task(isolated=True)
async def later(n: int, m: int = 2) -> AsyncIterator[int | Result[str]]:
    yield n + m
    yield Result("done")


@task
def only_values(n: int, m: int = 1) -> Iterator[int]:
    yield n + m


async def test_a_generator_yields_values_and_has_an_output() -> None:
    assert (halves.stage.output, later.stage.output, only_values.stage.output) == (str, str, type(None))
    assert all(each.binding.is_generator for each in (halves, later, only_values))
    assert (halves.binding.is_async, later.binding.is_async) == (False, True)
    assert list(halves(8)) == [4, 2, 1]
    assert [each async for each in later.binding.handler(read(b'{"n": 1}', later.input))] == [
        3,
        Result("done"),
    ]
    assert list(only_values.binding.handler(read(b'{"n": 1}', only_values.input))) == [2]


def no_annotation(page, n: int) -> None: ...  # type: ignore[no-untyped-def]


def no_return(page: Page): ...  # type: ignore[no-untyped-def]


def stars(*pages: Page) -> None: ...


def more(**pages: Page) -> None: ...


def two_contexts(page: Page, a: Context[None], b: Context[int]) -> None: ...


def unknown_name(page: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def by_place(a: int, b: int, /) -> None: ...


def no_json(page: Callable[[], None]) -> None: ...


def no_json_result(page: Page) -> object: ...


def wrong_default(a: int, b: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013


def Capital(a: int) -> None: ...


class Service:
    """It has a method, which no worker could call."""

    def work(self, page: Page) -> None: ...

    def __call__(self, page: Page) -> None: ...

    @staticmethod
    def static(page: Page) -> None: ...


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (no_annotation, "parameter 'page' has no annotation, and its type is the contract: add one"),
        (no_return, "what it returns has no annotation: add one, `-> None`"),
        (stars, r"it takes \*pages, and a contract needs names: write each parameter out"),
        (more, r"it takes \*\*pages"),
        (two_contexts, "a and b are both a Context"),
        (unknown_name, "name 'Missing' is not defined.*import it outside `if TYPE_CHECKING`"),
        (by_place, "take out the `/`"),
        (no_json, r"its input is .*Callable.*, which has no JSON form.*at \$\. Use a msgspec.Struct"),
        (no_json_result, "its output is object, which"),
        (wrong_default, "the default of 'b' does not fit its annotation"),
        (Capital, "stage name 'Capital': use a-z"),
        (lambda: None, "what it returns has no annotation"),
        (Service.work, "it is a method, and a worker has no instance.*`Context.deps`"),
        (Service.__dict__["static"], "write @staticmethod above @task"),
        (Service, "this is a class: write a `def`"),
        (Service(), "this is a Service"),
        (functools.partial(stars), "this is a partial"),
        (count, "this is a SyncTask"),
    ],
    ids=lambda each: getattr(each, "__name__", None) or "_",
)
def test_a_function_that_no_job_could_call_is_refused_with_its_place(
    function: Callable[..., Any], what: str
) -> None:
    with pytest.raises(TaskRefused, match=what) as refused:
        task(function)

    code = getattr(function, "__code__", None)
    assert code is None or str(refused.value).startswith(f"{__file__}:{code.co_firstlineno}: task ")


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TaskRefused, match="it has no option max_tries; it has: name, queue, retry"):
        task(max_tries=3)(count.function)  # type: ignore[call-overload]


def test_an_isolated_task_is_a_function_of_its_module() -> None:
    def inner(page: Page) -> None: ...

    with pytest.raises(TaskRefused, match="define it in its module"):
        task(isolated=True)(inner)
