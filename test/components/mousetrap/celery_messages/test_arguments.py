"""Binds arguments as the function that moved would have taken them."""

from typing import Any

import pytest

from mousetrap.celery_messages import NotUnderstood, bound
from mousetrap.handlers import task
from mousetrap.pipeline import manifest_of, pipeline_of, schema


@task
def of_two(path: str, width: int = 100) -> None: ...


@task
def of_one(number: int) -> None: ...


@task
def of_object(page: dict[str, int]) -> None: ...


@task
def of_options(options: dict[str, int], width: int) -> None: ...


@task
def of_none() -> None: ...


@pytest.mark.parametrize(
    ("moved", "args", "kwargs", "expected"),
    [
        (of_two, ("a", 3), {}, {"path": "a", "width": 3}),
        (of_two, ("a",), {"width": 3}, {"path": "a", "width": 3}),
        (of_two, ("a",), {}, {"path": "a"}),
        (of_two, (), {"path": "a"}, {"path": "a"}),
        (of_two, ({"path": "a"},), {}, {"path": "a"}),
        (of_one, (3,), {}, 3),
        (of_one, (), {"number": 3}, 3),
        (of_object, ({"a": 1},), {}, {"a": 1}),
        (of_object, (), {"page": {"a": 1}}, {"a": 1}),
        (of_options, ({"a": 1}, 3), {}, {"options": {"a": 1}, "width": 3}),
        (of_options, (), {"options": {"a": 1}, "width": 3}, {"options": {"a": 1}, "width": 3}),
        (of_none, (), {}, {}),
    ],
)
def test_arguments_become_the_input_that_the_task_reads(
    moved: Any, args: tuple[Any, ...], kwargs: dict[str, Any], expected: Any
) -> None:
    # With the function's own contract, and with that of a worker's manifest.
    for pipeline in (moved.pipeline, pipeline_of(manifest_of(moved.pipeline))):
        assert bound(args, kwargs, schema(pipeline.first.input)) == expected


@pytest.mark.parametrize(
    ("moved", "args", "kwargs", "why"),
    [
        (of_two, ("a", 3, 4), {}, "has 3 arguments, and the pipeline takes path, width"),
        (of_two, ("a",), {"path": "b"}, "gives path twice"),
        (of_one, (1, 2), {}, "has 2 arguments, and the pipeline takes one value"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    moved: Any, args: tuple[Any, ...], kwargs: dict[str, Any], why: str
) -> None:
    with pytest.raises(NotUnderstood, match=why):
        bound(args, kwargs, schema(moved.pipeline.first.input))
