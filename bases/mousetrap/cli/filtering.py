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

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            for param in self._filter_params:
                if not getattr(param, "is_flag", False) and not getattr(param, "multiple", False):
                    _check_once(ctx, args, param.opts)
            return super().parse_args(ctx, args)

        def invoke(self, ctx: Any) -> Any:
            given = {str(param.name): ctx.params.pop(param.name) for param in self._filter_params}
            ctx.obj = describe(**given)
            return super().invoke(ctx)

    return Filtering


def _check_once(context: Any, arguments: list[str], names: list[str]) -> None:
    """Refuses an option that is given twice: the last alone would count."""
    given = [it for it in arguments if it.partition("=")[0] in names]
    if len(given) > 1:
        context.fail(
            f"{names[0]} is given {len(given)} times, and takes one value: repeat the command for each"
        )
