"""Shows a table as a terminal of some columns shows it."""

from io import StringIO

from rich.console import RenderableType

from mousetrap.cli.output import terminal


def shown(what: RenderableType, width: int = 80) -> str:
    """The lines, without the spaces at their ends."""
    out = StringIO()
    terminal(out, width=width).print(what)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
