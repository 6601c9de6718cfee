"""Makes a pipeline of tasks, one after another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Concatenate, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from mousetrap.handlers.binding import Binding
from mousetrap.handlers.call import Call, input_of
from mousetrap.handlers.context import Context
from mousetrap.handlers.fan_steps import Part, Step, parts_of
from mousetrap.handlers.task import Task
from mousetrap.pipeline import (
    REQUIRED,
    All,
    Each,
    Pipeline,
    Stage,
    is_gathered,
    item_of,
    type_text,
    type_texts,
)

P = ParamSpec("P")
Q = ParamSpec("Q")
O_co = TypeVar("O_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")


class ChainOptions(TypedDict, total=False):
    """The options of a chain; each has a default."""

    #: One sentence for readers: those that its tasks were given, or where none was, their names.
    description: str
    #: Seconds after which a run's jobs are not begun any more.
    expires_after: float | None
    #: Whether a worker that serves consecutive tasks goes on with the next one at once, without its queue.
    in_place: bool
    #: What it takes of what is published, as `orders.*`.
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Chain(Generic[P, O_co]):
    """Tasks in a row, generic over the first one's parameters and what the last one gives."""

    pipeline: Pipeline
    #: Of each task to its stage.
    bindings: tuple[Binding, ...]
    first: Task[P, Any]

    @overload
    def call(
        self: "Chain[Concatenate[A, Context[Any], Q], B]", first: A, /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Call[B]: ...
    @overload
    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[O_co]: ...
    def call(self, *args: Any, **kwargs: Any) -> Call[Any]:  # type: ignore[misc]
        """The chain with the arguments of its first task, as `Task.call` has them."""
        return Call(self.pipeline, input_of(self.first, args, kwargs))

    def __repr__(self) -> str:
        """Its stages by name: a notebook shows this for a cell that ends with the chain."""
        return f"<chain {self.pipeline.name!r} of {', '.join(stage.name for stage in self.pipeline.stages)}>"


@overload
def chain(name: str, a: Task[P, A], /, **options: Unpack[ChainOptions]) -> Chain[P, A]: ...
@overload
def chain(
    name: str,
    a: Task[P, A],
    b: Task[Concatenate[A, ...], B] | Step[A, B],
    /,
    **options: Unpack[ChainOptions],
) -> Chain[P, B]: ...
@overload
def chain(
    name: str,
    a: Task[P, A],
    b: Task[Concatenate[A, ...], B] | Step[A, B],
    c: Task[Concatenate[B, ...], C] | Step[B, C],
    /,
    **options: Unpack[ChainOptions],
) -> Chain[P, C]: ...
@overload
def chain(
    name: str,
    a: Task[P, A],
    b: Task[Concatenate[A, ...], B] | Step[A, B],
    c: Task[Concatenate[B, ...], C] | Step[B, C],
    d: Task[Concatenate[C, ...], D] | Step[C, D],
    /,
    **options: Unpack[ChainOptions],
) -> Chain[P, D]: ...
@overload
def chain(
    name: str,
    a: Task[P, A],
    b: Task[Concatenate[A, ...], B] | Step[A, B],
    c: Task[Concatenate[B, ...], C] | Step[B, C],
    d: Task[Concatenate[C, ...], D] | Step[C, D],
    e: Task[Concatenate[D, ...], E] | Step[D, E],
    /,
    **options: Unpack[ChainOptions],
) -> Chain[P, E]: ...
@overload
def chain(
    name: str,
    a: Task[P, A],
    b: Task[Concatenate[A, ...], B] | Step[A, B],
    c: Task[Concatenate[B, ...], C] | Step[B, C],
    d: Task[Concatenate[C, ...], D] | Step[C, D],
    e: Task[Concatenate[D, ...], E] | Step[D, E],
    f: Task[Concatenate[E, ...], F] | Step[E, F],
    /,
    *more: Task[..., Any] | Step[Any, Any],
    **options: Unpack[ChainOptions],
) -> Chain[P, Any]: ...
def chain(name: str, /, *tasks: Any, **options: Unpack[ChainOptions]) -> Any:
    """The chain of that name. A task after the first gets what the one before it gives as its first parameter.

    After a task that gives Many, `each(read)` has a job for every item, and `gather(total, need=…)` joins them. Raises ValueError for
    what is no task, for a neighbour's output that is no input, and for what Pipeline refuses.
    """
    if not isinstance(name, str):
        raise ValueError(f"chain: its name is {name!r}: write it first, as chain('wordcount', split, count)")  # noqa: TRY004
    parts = [part for one in tasks for part in parts_of(one)]
    for part in parts:
        _check_is_task(name, part.task)
    _check_rows(name, tasks)
    stages: list[Stage] = []
    for number, part in enumerate(parts):
        stages.append(_later_stage(name, part, stages[-1]) if number else part.task.stage)
    for (before, after), stage in zip(pairwise(parts), stages[1:], strict=True):
        if after.edge is None:
            _check_neighbours(name, before.task, after.task, stage)
    _check_once(name, [part.task for part in parts])
    try:
        pipeline = Pipeline(
            name=name,
            description=options.get("description") or _description([part.task for part in parts]),
            stages=tuple(stages),
            expires_after=options.get("expires_after"),
            in_place=options.get("in_place", False),
            topics=options.get("topics", ()),
        )
    except ValueError as error:
        raise ValueError(_with_places(str(error), parts)) from None
    return Chain(pipeline, tuple(part.task.bound_to(pipeline) for part in parts), parts[0].task)


def _description(tasks: Sequence[Task[..., Any]]) -> str:
    described = " ".join(task.description for task in tasks if task.is_described)
    return described or f"Runs {', '.join(task.name for task in tasks)}."


def _check_is_task(chain_name: str, each: Any) -> None:
    if isinstance(each, Task):
        return
    advice = f"write @task above {each.__name__}" if callable(each) and hasattr(each, "__name__") else ""
    raise ValueError(f"chain {chain_name!r}: {each!r} is no task: {advice or 'give it functions with @task'}")


def _check_rows(chain_name: str, tasks: Sequence[Any]) -> None:
    """A chain begins with a task, and what takes items is joined before the next task."""
    before = None
    for one in tasks:
        parts = parts_of(one)
        if wrong := _misplaced(parts[0], before):
            task = parts[0].task
            raise ValueError(f"chain {chain_name!r}: {task.name!r} ({task.place}) {wrong}")
        before = parts
    last = parts_of(tasks[-1])[-1].task if tasks else None
    if last is not None and (item := item_of(last.stage.output)) is not None:
        raise ValueError(
            f"chain {chain_name!r}: {last.name!r} ({last.place}) gives {type_text(last.stage.output)}, and nothing takes its items: "
            f"write each(…) after it, of a task that takes {type_text(item)}, or give a list"
        )


def _misplaced(part: Part, before: Sequence[Part] | None) -> str:
    """What is wrong with a part behind those before it; empty where nothing is."""
    task, edge = part.task, part.edge
    inputs = task.parameters.inputs
    if edge is None and inputs and is_gathered(inputs[0].contract):
        row = (
            f"each(…), gather({task.name})"
            if before is None or before[0].edge is not Each
            else f"gather({task.name})"
        )
        first = ", and is the first: put a task that gives Many before it, and" if before is None else ":"
        return f"takes {type_text(inputs[0].contract)}{first} write {row}"
    if before is None:
        what = "joins" if edge is All else "takes each item of"
        return f"{what} what is before it, and is the first: put a task before it" if edge else ""
    if edge is All and before[0].edge is not Each:
        return f"joins what each(…) began, and none is before it: write each(…) before gather({task.name})"
    if before[0].edge is Each and edge is not All:
        row = f"each({before[-1].task.name}, {task.name})"
        return f"follows each(…) without a gather: write {row}, or gather first"
    return ""


def _check_once(chain_name: str, tasks: Sequence[Task[..., Any]]) -> None:
    """A run has one stage of a name, and a queue one stage."""
    for place, task in enumerate(tasks):
        for other in tasks[:place]:
            where = f"chain {chain_name!r}: {task.name!r} ({task.place})"
            if other is task:
                name = f"{task.name}_again"
                raise ValueError(
                    f"{where} is in it twice: make a second task of its function, as {name} = "
                    f"task(name={name!r})({task.function.__name__}.function), and write that in the second place"
                )
            for what, one, two in (
                ("name", other.name, task.name),
                ("queue", other.stage.queue, task.stage.queue),
            ):
                if one == two:
                    raise ValueError(
                        f"{where} has the {what} {one!r}, as {other.name!r} ({other.place}) has: write another one, as "
                        f"@task({what}={f'{one}_again'!r})"
                    )


def _with_places(refusal: str, parts: Sequence[Part]) -> str:
    """What Pipeline refuses, with the place of each function where its stage is named first."""
    whole, _, text = refusal.partition(": ")
    for part in parts:
        name = repr(part.task.name)
        text = text.replace(name, f"{name} ({part.task.place})", 1)
    return f"{whole}: {text}" if text else refusal


def _later_stage(chain_name: str, part: Part, before: Stage) -> Stage:
    """The stage of a task that gets one value: all parameters but its first keep their defaults."""
    task: Task[..., Any] = part.task
    inputs = task.parameters.inputs
    unfilled = [each.name for each in inputs[1:] if each.default is REQUIRED]
    if not inputs or unfilled:
        what = f"needs {', '.join(unfilled)} as well" if unfilled else "takes nothing"
        raise ValueError(
            f"chain {chain_name!r}: {task.name!r} ({task.place}) gets one value from the task before it, and {what}: give "
            "it one parameter, and defaults to the others, or put it first"
        )
    return replace(task.stage, input=inputs[0].contract, after=part.after(before.name))


def _check_neighbours(chain_name: str, task: Task[..., Any], following: Task[..., Any], stage: Stage) -> None:
    if (item := item_of(task.stage.output)) is not None:
        raise ValueError(
            f"chain {chain_name!r}: {task.name!r} ({task.place}) gives {type_text(task.stage.output)}, and {following.name!r} would take "
            f"all of it: write each({following.name}), which takes {type_text(item)}, or give a list"
        )
    if task.stage.output != stage.input:
        given, taken = type_texts(task.stage.output, stage.input)
        raise ValueError(
            f"chain {chain_name!r}: {task.name!r} ({task.place}) gives {given}, but {following.name!r} ({following.place}) takes {taken}: "
            "make them the same type"
        )
