"""Counts the CPU that one coroutine takes, beside others."""

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class OwnCpu(Generic[T]):
    """Awaits a coroutine, and counts its own steps alone: the thread's clock has those of all others, too."""

    def __init__(self, story: Coroutine[Any, Any, T], cpu_s: Callable[[], float]) -> None:
        self._story = story
        self._cpu_s = cpu_s
        #: So far.
        self.used_s = 0.0

    def __await__(self) -> Generator[Any, Any, T]:
        step: Callable[[], Any] = partial(self._story.send, None)
        while True:
            begun_s = self._cpu_s()
            try:
                waits_for = step()
            except StopIteration as ended:
                found: T = ended.value
                return found
            finally:
                self.used_s += self._cpu_s() - begun_s
            try:
                step = partial(self._story.send, (yield waits_for))
            except GeneratorExit:
                self._story.close()
                raise
            except BaseException as error:  # noqa: BLE001  a cancellation too is for the coroutine
                step = partial(self._story.throw, error)
