"""Opens a prompt, or writes a notebook, for one attempt."""

import code
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mousetrap.cli.options import Modules, RunId, read_input
from mousetrap.cli.session import environment, open_api

if TYPE_CHECKING:
    from mousetrap.api_client import Api
    from mousetrap.jobs import Job
    from mousetrap.repeat_attempt import Case
    from mousetrap.shapes import Failure, Run


def debug(
    run: RunId,
    stage: Annotated[
        str | None, typer.Option(help="Its job at this stage; else where the run failed, or its first.")
    ] = None,
    modules: Modules = None,
    given: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="JSON|@FILE",
            help="Instead of what the job carried, or where that is not kept.",
        ),
    ] = None,
    notebook: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a notebook instead, which must not be there.")
    ] = None,
) -> None:
    """Open a prompt with a run's job, input, context and handler at hand.

    Nothing runs until `perform()` is called, and that writes to no queue and no store of ours. What is piped into it is run line by line.
    """
    from mousetrap.cli.dead_test import write_files
    from mousetrap.cli.find_handler import find_handler
    from mousetrap.cli.output import print_line
    from mousetrap.repeat_attempt import HELP, at_hand
    from mousetrap.repeat_attempt import notebook as notebook_of

    with open_api() as api:
        case = _case(api, run, stage, None if given is None else read_input(given))
    folder = notebook.parent if notebook else Path()
    handler = find_handler(case.job, environment(quiet=True), modules or (), folder)
    if notebook:
        write_files({notebook: notebook_of(case, handler)}, force=False)
        print_line(f"wrote {notebook}")
        return
    raise typer.Exit(_prompt(at_hand(handler.target, case.job, case.failure), HELP))


def _case(api: "Api", given: str, stage: str | None, body: bytes | None) -> "Case":
    from mousetrap.api_client import Misused
    from mousetrap.cli.short_ids import with_run
    from mousetrap.jobs import decode, first_job
    from mousetrap.repeat_attempt import Case

    run = with_run(api, given, api.run).value
    here = stage or (run.stage if run.state == "failed" else "start")
    if body is not None:
        name = api.stages(run.pipeline)[0].name if here == "start" else here
        job = first_job(
            run_id=run.id, pipeline=run.pipeline, stage=name, payload=body, accepted_ms=run.accepted_ms
        )
        return Case(job=job, failure=_failure(run, job))
    if (letter := _letter(api, run, here)) is not None:
        return letter
    try:
        job = decode(api.job(run.id, here))
    except Misused as error:
        raise Misused(f"{error}. `--input JSON` or `--input @FILE` takes its place") from error
    return Case(job=job, failure=_failure(run, job))


def _letter(api: "Api", run: "Run", stage: str) -> "Case | None":
    """The job of the run's dead letter at this stage: there, its input is kept for longest, with all that it carried."""
    from mousetrap.api_client import LetterFilter
    from mousetrap.repeat_attempt import NotRepeatable, case_of_letter

    if run.state != "failed":
        return None
    for line in api.export(LetterFilter(run=run.id, stage=stage)):
        if b'"headers"' in line:
            try:
                return case_of_letter(line)
            except NotRepeatable:
                return None
    return None


def _failure(run: "Run", job: "Job") -> "Failure | None":
    """What the job's latest attempt that failed did so with."""
    failures = [event.failure for event in run.timeline if event.stage == job.stage and event.failure]
    return failures[-1] if failures else None


def _prompt(names: Mapping[str, Any], about: str) -> int:
    """Reads and runs lines until their end. Returns 1 where a piped one raised, else 0."""
    if not sys.stdin.isatty():
        return _run_piped(dict(names))
    if find_spec("IPython") is None:
        code.interact(banner=about, local=dict(names), exitmsg="")
    else:
        print(about)
        import_module("IPython").start_ipython(argv=["--no-banner"], user_ns=dict(names))
    return 0


class _Piped(code.InteractiveConsole):
    """Runs the lines of standard input without a prompt between them."""

    failed = False

    def raw_input(self, prompt: str = "") -> str:
        if not (line := sys.stdin.readline()):
            raise EOFError
        return line.rstrip("\n")

    def showtraceback(self) -> None:
        """Prints an error of a line, without this console's own frames."""
        self.failed = True
        error = sys.exc_info()[1]
        assert error is not None
        trace = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(type(error), error, trace)

    def showsyntaxerror(self, filename: str | None = None, **more: Any) -> None:
        """Prints that a line is no Python."""
        self.failed = True
        traceback.print_exc(limit=0)

    def write(self, data: str) -> None:
        """Prints nothing between the lines."""


def _run_piped(names: dict[str, Any]) -> int:
    console = _Piped(names)
    console.interact(banner="", exitmsg="")
    return int(console.failed)
