"""A handler that fails a few times before it succeeds."""

from typing import Any


class Flaky:
    """A handler for tests: it raises `error` at its first `fails` calls, and then returns `then`.

    `then` is a value, or a function that is called with the input. `calls` counts the calls so far.
    """

    def __init__(self, *, fails: int, then: Any = None, error: Exception | None = None) -> None:
        self.fails = fails
        self.then = then
        self.error = error or ConnectionError("it is away for a moment")
        self.calls = 0

    async def __call__(self, value: Any) -> Any:
        """One call."""
        self.calls += 1
        if self.calls <= self.fails:
            raise self.error.with_traceback(None)  # else each raise would add to its traceback
        return self.then(value) if callable(self.then) else self.then
