"""Makes a pipeline of tasks, one after another."""

from dataclasses import dataclass, replace
from typing import Any, Concatenate, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from mousetrap.handlers.binding import Binding
from mousetrap.handlers.call import Call, input_of
from mousetrap.handlers.context import Context
from mousetrap.handlers.task import Task
from mousetrap.pipeline import REQUIRED, Pipeline, Stage

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

    #: One sentence for readers: the descriptions of its tasks.
    description: str
    #: Seconds after which a run's jobs are not begun any more.
    expires_after: float | None
    #: Whether a worker that serves consecutive tasks goes on with the next one at once, without its queue.
    in_place: bool


@dataclass(frozen=True, slots=True)
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


@overload
def chain(name: str, a: Task[P, A], /, **options: Unpack[ChainOptions]) -> Chain[P, A]: ...
@overload
def chain(
    name: str, a: Task[P, A], b: Task[Concatenate[A, ...], B], /, **options: Unpack[ChainOptions]
) -> Chain[P, B]: ...
@overload
def chain(
    name: str,
    a: Task[P, A],
    b: Task[Concatenate[A, ...], B],
    c: Task[Concatenate[B, ...], C],
    /,
    **options: Unpack[ChainOptions],
) -> Chain[P, C]: ...
@overload
def chain(
    name: str,
    a: Task[P, A],
    b: Task[Concatenate[A, ...], B],
    c: Task[Concatenate[B, ...], C],
    d: Task[Concatenate[C, ...], D],
    /,
    **options: Unpack[ChainOptions],
) -> Chain[P, D]: ...
@overload
def chain(
    name: str,
    a: Task[P, A],
    b: Task[Concatenate[A, ...], B],
    c: Task[Concatenate[B, ...], C],
    d: Task[Concatenate[C, ...], D],
    e: Task[Concatenate[D, ...], E],
    /,
    **options: Unpack[ChainOptions],
) -> Chain[P, E]: ...
@overload
def chain(
    name: str,
    a: Task[P, A],
    b: Task[Concatenate[A, ...], B],
    c: Task[Concatenate[B, ...], C],
    d: Task[Concatenate[C, ...], D],
    e: Task[Concatenate[D, ...], E],
    f: Task[Concatenate[E, ...], F],
    /,
    *more: Task[..., Any],
    **options: Unpack[ChainOptions],
) -> Chain[P, Any]: ...
def chain(name: str, /, *tasks: Any, **options: Unpack[ChainOptions]) -> Any:
    """The chain of that name. A task after the first gets what the one before it gives as its first parameter.

    Raises ValueError for what is no task, for a neighbour's output that is no input, and for what Pipeline refuses.
    """
    for each in tasks:
        _check_is_task(name, each)
    stages = [each.stage if number == 0 else _later_stage(name, each) for number, each in enumerate(tasks)]
    for number in range(len(tasks) - 1):
        _check_neighbours(name, tasks[number], tasks[number + 1], stages[number + 1])
    pipeline = Pipeline(
        name=name,
        description=options.get("description") or " ".join(each.description for each in tasks),
        stages=tuple(stages),
        expires_after=options.get("expires_after"),
        in_place=options.get("in_place", False),
    )
    return Chain(pipeline, tuple(each.bound_to(pipeline) for each in tasks), tasks[0])


def _check_is_task(chain_name: str, each: Any) -> None:
    if isinstance(each, Task):
        return
    advice = f"write @task above {each.__name__}" if callable(each) and hasattr(each, "__name__") else ""
    raise ValueError(f"chain {chain_name!r}: {each!r} is no task: {advice or 'give it functions with @task'}")


def _later_stage(chain_name: str, task: Task[..., Any]) -> Stage:
    """The stage of a task that gets one value: all parameters but its first keep their defaults."""
    inputs = task.parameters.inputs
    unfilled = [each.name for each in inputs[1:] if each.default is REQUIRED]
    if not inputs or unfilled:
        what = f"needs {', '.join(unfilled)} as well" if unfilled else "takes nothing"
        raise ValueError(
            f"chain {chain_name!r}: {task.name!r} ({task.place}) gets one value from the task before it, and {what}: give "
            "it one parameter, and defaults to the others, or put it first"
        )
    return replace(task.stage, input=inputs[0].contract)


def _check_neighbours(chain_name: str, task: Task[..., Any], following: Task[..., Any], stage: Stage) -> None:
    if task.stage.output != stage.input:
        raise ValueError(
            f"chain {chain_name!r}: {task.name!r} ({task.place}) gives {task.stage.output}, but {following.name!r} "
            f"({following.place}) takes {stage.input}: make them the same type"
        )
