"""The commands that remove bricks: remove example."""

from typing import Annotated

import typer

app = typer.Typer(help="Remove from this checkout what you do not need.", no_args_is_help=True)


@app.callback()
def remove() -> None:
    """Remove from this checkout what you do not need."""


@app.command()
def example(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be done, and change nothing.")
    ] = False,
) -> None:
    """Remove the earthquakes: bricks, projects, services, manifests, tests, entries of the catalogue, rows of the docs."""
    from pathlib import Path

    from mousetrap.api_client import CommandFailed
    from mousetrap.cli.output import print_line
    from mousetrap.workspace import Edits, check_committed, find_workspace, recover, remove_example

    root = find_workspace(Path.cwd())
    if not dry_run:
        recover(root)
    edits = Edits(root)
    mentions = remove_example(edits)
    changes = edits.changes
    check_committed(root, [change.path for change in changes])
    for change in changes:
        print_line(f"{change.kind:8} {change.path}")
    removed = sum(change.kind == "removed" for change in changes)
    if dry_run:
        return
    if not yes and not typer.confirm(f"Remove {removed} files and change {len(changes) - removed}?"):
        raise CommandFailed("nothing is changed")
    edits.apply()
    print_line(
        "\nTests of the engine that run on the example are gone with it; the ones that stay are green."
    )
    print_line("What still speaks of it, for you to rewrite:")
    for place in mentions:
        print_line(f"  {place}")
