"""Writes a test for a dead letter, on command."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mousetrap.cli.options import Modules
from mousetrap.cli.session import environment, open_api

if TYPE_CHECKING:
    from mousetrap.api_client import Api
    from mousetrap.repeat_attempt import Case


def write_test(
    letter: Annotated[str, typer.Argument(metavar="ID", help="The letter's id, or its beginning.")],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Else test_dead_ID.py, in test/ or tests/ where this folder has one."
        ),
    ] = None,
    modules: Modules = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a pytest file that fails as the job failed, and passes once its handler is fixed.

    It holds the job's input as it is, with all secrets in it: the file is its owner's alone.
    """
    from mousetrap.cli.find_handler import find_handler
    from mousetrap.cli.output import argument, print_line
    from mousetrap.repeat_attempt import dead_test

    with open_api() as api:
        case = case_of(api, letter)
    place = output or _folder() / f"test_dead_{case.short_id}.py"
    handler = find_handler(case.job, environment(quiet=True), modules or (), place.parent)
    written = dead_test(case, handler)
    files = {place: written.text.encode()}
    if written.input is not None:
        files[place.with_suffix(".json")] = written.input
    write_files(files, force=force)
    print_line(
        f"wrote {' and '.join(map(str, files))}: `pytest {argument(str(place))}` fails as the job failed"
    )


def case_of(api: "Api", letter: str) -> "Case":
    """The job of a dead letter, and its error. Raises CommandFailed where no attempt of it can be repeated."""
    from mousetrap.api_client import CommandFailed, LetterFilter, Misused
    from mousetrap.cli.short_ids import letter_place
    from mousetrap.repeat_attempt import NotRepeatable, case_of_letter

    queue, letter_id = letter_place(api, letter)
    line = next(api.export(LetterFilter(queue=queue, ids=(letter_id,))), b"")
    if b'"headers"' not in line:
        raise Misused(f"there is no dead letter {letter}, or not any more: `mousetrap dead list` lists them")
    try:
        return case_of_letter(line)
    except NotRepeatable as error:
        raise CommandFailed(str(error)) from error


def _folder() -> Path:
    """Where tests are kept."""
    return next(filter(Path.is_dir, (Path("test"), Path("tests"))), Path())


def write_files(files: Mapping[Path, bytes], *, force: bool) -> None:
    """Writes files that their owner alone may read. Raises Misused where one is there, unless `force`."""
    from mousetrap.api_client import Misused
    from mousetrap.settings import write_private

    if not force and (there := [str(path) for path in files if path.exists()]):
        raise Misused(f"{there[0]} is there already: pass --force to replace it, or another --output")
    for path, content in files.items():
        try:
            write_private(path, content.decode())
        except OSError as error:
            raise Misused(f"{path} cannot be written: {error.strerror}") from error
