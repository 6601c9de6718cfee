"""Makes commands that begin with the options of a filter."""

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command


def filtering_command(describe: Callable[..., Any]) -> type[TyperCommand]:
    """A class of commands with the options of `describe` before their own; its value is the `obj` of their context."""
    options = typer.Typer(add_completion=False)
    options.command()(describe)

    class Filtering(TyperCommand):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            self._filter_params = get_command(options).params
            self.params = [*self._filter_params, *self.params]

        def invoke(self, ctx: Any) -> Any:
            given = {str(param.name): ctx.params.pop(param.name) for param in self._filter_params}
            ctx.obj = describe(**given)
            return super().invoke(ctx)

    return Filtering
