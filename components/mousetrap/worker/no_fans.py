"""Refuses pipelines whose fan-outs and forks no worker runs yet."""

from collections.abc import Sequence

from mousetrap.handlers import Binding


def refuse_fans(bindings: Sequence[Binding]) -> None:
    """Raises ValueError for a pipeline whose jobs open more than one that follows: main must not lose them."""
    for binding in bindings:
        for fan in binding.pipeline.fans:
            what = "is a fork" if fan.is_fork else "fans out"
            raise ValueError(
                f"pipeline {binding.pipeline.name!r}: stage {fan.opener.name!r} {what}, and workers of this version run chains, branches "
                "and fallbacks alone; mousetrap.testing.run runs it in memory"
            )
