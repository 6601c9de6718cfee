"""Handlers of a fan-out that a process of their own can import."""

from collections.abc import Iterator

from mousetrap.pipeline import Gathered


def find(count: int) -> Iterator[int]:
    yield from range(count)


def read(number: int) -> int:
    return number * 10


def add_up(numbers: Gathered[int]) -> list[int]:
    """How many came, how many are lost, and their sum."""
    values = [value for _, value in numbers]
    return [len(values), numbers.lost, sum(values)]
