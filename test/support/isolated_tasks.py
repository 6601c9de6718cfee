"""A task that another process imports by its name."""

from mousetrap.handlers import Context, task


@task(isolated=True)
def add(a: int, b: int = 2, *, context: Context[None]) -> int:
    """Gives the digits a, b and the attempt."""
    return a * 100 + b * 10 + context.attempt
