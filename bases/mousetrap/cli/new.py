"""The commands that write bricks: new task, new worker, new pipeline."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mousetrap.workspace import Edits

app = typer.Typer(help="Write a task, a pipeline or a worker into this checkout.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Small letters and digits, with _ between words.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List what would be written, and write nothing.")]


@app.command()
def task(name: Name, dry_run: DryRun = False) -> None:
    """Write a component with one task, its test, and its line in the catalogue."""
    from mousetrap.workspace import add_task

    _write(lambda edits: add_task(edits, name), name, dry_run)


@app.command()
def pipeline(
    name: Name,
    stages: Annotated[list[str], typer.Argument(metavar="STAGE...", help="The stages, in their order.")],
    dry_run: DryRun = False,
) -> None:
    """Write a component with a task for each stage and their chain, its test, and its line in the catalogue."""
    from mousetrap.workspace import add_pipeline

    _write(lambda edits: add_pipeline(edits, name, stages), name, dry_run)


@app.command()
def worker(name: Name, dry_run: DryRun = False) -> None:
    """Write what deploys a worker: base, project, compose service, manifests. A name that is new gets a task first."""
    from mousetrap.workspace import add_worker

    _write(lambda edits: add_worker(edits, name), name, dry_run)


def _write(add: "Callable[[Edits], None]", name: str, dry_run: bool) -> None:
    from pathlib import Path

    from mousetrap.cli.output import print_line
    from mousetrap.workspace import Edits, find_workspace, first_edits, recover

    root = find_workspace(Path.cwd())
    if not dry_run and recover(root):
        print_line("an earlier try was killed half-way: what it had changed is as it was before", error=True)
    edits = Edits(root)
    add(edits)
    changes = edits.changes
    if not dry_run:
        edits.apply()
    for change in changes:
        print_line(f"{change.kind:8} {change.path}")
    if places := first_edits(edits, name):
        print_line("\nWrite first:")
        for place in places:
            print_line(f"  {place}")
    print_line(f"\nTry it: .venv/bin/pytest test/components/mousetrap/{name}, and mousetrap worker {name}")
