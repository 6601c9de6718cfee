"""Finds the bindings of what a test serves, performs or runs."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from mousetrap.handlers import Binding
from mousetrap.pipeline import Pipeline
from mousetrap.repeat_attempt import FROM_LIFESPAN


class HasBinding(Protocol):
    """What has a handler of its own, as a task."""

    @property
    def binding(self) -> Binding: ...


class HasBindings(Protocol):
    """What has a handler for each of its stages, as a chain."""

    @property
    def bindings(self) -> Sequence[Binding]: ...


#: A binding, a task, a chain, or the bindings of a pipeline's stages in order.
Work = Binding | HasBinding | HasBindings | Sequence[Binding]


def bindings_of(work: Work) -> tuple[Binding, ...]:
    """Its bindings. Raises TypeError for what has none."""
    if isinstance(work, Binding):
        return (work,)
    if (own := getattr(work, "binding", None)) is not None:
        return (own,)
    found: Any = getattr(work, "bindings", work)
    if isinstance(found, Sequence) and all(isinstance(each, Binding) for each in found):
        return tuple(found)
    raise TypeError(f"{work!r} is no binding, task or chain, and no list of bindings")


def pipeline_of(work: Any) -> Pipeline | None:
    """The pipeline itself, or the one of a task, chain or binding; None for anything else."""
    found = work if isinstance(work, Pipeline) else getattr(work, "pipeline", None)
    return found if isinstance(found, Pipeline) else None


def only_stage(work: Sequence[Work]) -> str:
    """The name of the only stage. Raises ValueError where there are several."""
    names = [binding.stage_name for each in work for binding in bindings_of(each)]
    if len(names) != 1:
        raise ValueError(
            f"`handler` is for one stage, and there are {len(names)}: use `handlers={{stage: …}}`"
        )
    return names[0]


def prepared(work: Sequence[Work], handlers: Mapping[str, Callable[..., Any]], deps: Any) -> list[Binding]:
    """The bindings, with handlers by stage and deps in place of their own. Raises ValueError for a handler of no stage.

    None is isolated: another process would have another clock, and its errors would be texts.
    """
    bindings = [binding for each in work for binding in bindings_of(each)]
    if unknown := set(handlers) - {binding.stage_name for binding in bindings}:
        raise ValueError(f"no stage of these is named {', '.join(sorted(unknown))}")
    given = None if deps is FROM_LIFESPAN else partial(_given, deps)
    return [
        replace(
            binding,
            handler=handlers.get(binding.stage_name, binding.handler),
            lifespan=given or binding.lifespan,
            isolated=False,
        )
        for binding in bindings
    ]


@asynccontextmanager
async def _given(deps: Any) -> AsyncIterator[Any]:
    yield deps
