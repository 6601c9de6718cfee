"""Runs the stack in ./.mousetrap until it is asked to stop."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from mousetrap.api_client import Api, CommandFailed
from mousetrap.catalogue import PIPELINES, SAMPLE, SETTINGS, WORKERS
from mousetrap.catalogue_entries import Worker, load
from mousetrap.cli.output import argument, print_line, terminal
from mousetrap.cli.reachable import check_broker, check_store
from mousetrap.cli.session import given_settings, read_settings
from mousetrap.cli.tables.pipelines import run_arguments
from mousetrap.cli.targets import given_modules
from mousetrap.local_stack import VALKEY, Parts, Plan, Stack, StopAsked, programs, running_stack, writing_in
from mousetrap.settings import FOLDER, announced
from mousetrap.shapes import Pipeline

_COLOURS = ("green", "cyan", "magenta", "yellow", "blue")
#: Pipelines of the targets that the welcome names.
_MOST_RUN_LINES = 6


def run_stack(environ: Mapping[str, str], targets: Sequence[str] = ()) -> int:
    """The exit code: 0 when it was asked to stop, 130 when it was killed, 1 when a program ended by itself, 2 for a target that
    cannot be loaded.
    """
    targets = targets or given_modules(read_settings(environ))
    if code := _fault_of(targets, environ):
        return code
    _check_given(environ)
    console = terminal(wrap=False)
    folder = Path(FOLDER).absolute()
    workers = _with_targets(targets)
    parts = Parts(workers=workers, groups=SETTINGS, sample=load(SAMPLE) if SAMPLE else None)
    with ExitStack() as opened:
        on_line = line_printer(console, (*programs(workers), VALKEY))
        stack = opened.enter_context(running_stack(environ, folder, on_line, parts))
        with writing_in(folder):
            opened.enter_context(announced(folder, stack.exports()))
        console.print("starting; what it keeps is in ./.mousetrap")
        try:
            _serve(stack, folder, targets, console)
        except StopAsked:
            code = 0
            console.print("stopping: the workers finish what they run; Ctrl-C again ends them at once")
        except CommandFailed as failed:
            code = failed.code
            console.print(f"mousetrap: {failed}; stopping the rest", style="bold red")
    return 130 if stack.forced else code


def _serve(stack: Stack, folder: Path, targets: Sequence[str], console: Console) -> None:
    """Runs until next_event raises."""
    stack.wait_until_ready()
    *_, worker = ("STAGE", *WORKERS)
    use = Use(served_beside(stack.plan.api_url), " ".join(map(argument, targets)) or worker)
    settings = stack.settings
    lines = welcome(stack.plan, folder, use, keys=bool(settings.api_keys), pages=settings.ui)
    console.print("\n".join(lines))  # at once, so that no log line comes between
    while True:
        stack.next_event()


def line_printer(console: Console, names: Iterable[str]) -> Callable[[str, str], None]:
    """Prints a line of a program behind its name, in its own colour; colours repeat after five programs."""
    colours = dict(zip(names, cycle(_COLOURS), strict=False))
    width = max(map(len, colours))

    def print_line(name: str, line: str) -> None:
        console.print(Text.assemble((f"{name:<{width}} ", colours[name]), line))

    return print_line


def _with_targets(targets: Sequence[str]) -> Mapping[str, Worker]:
    """The workers of the catalogue, and one more for the targets under a name that none of them has."""
    name = "tasks"
    while name in WORKERS:
        name += "-more"
    return {**WORKERS, name: Worker(modules=tuple(targets))} if targets else WORKERS


def _fault_of(targets: Sequence[str], environ: Mapping[str, str]) -> int:
    """0 where all targets can be loaded; otherwise an exit code, and what is wrong is printed: nothing has started yet.

    Another process loads them, as their worker does later: what a user's modules do when they are imported, they do not do here.
    """
    if not targets:
        return 0
    tried = subprocess.run(
        [sys.executable, "-P", "-m", "mousetrap.cli", "worker", "--list", "--", *targets],
        env={**environ},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if tried.returncode:
        print_line(tried.stderr.rstrip(), error=True)
    return max(tried.returncode, 1) if tried.returncode else 0


def served_beside(api_url: str) -> Sequence[Pipeline]:
    """The pipelines that a stack's workers serve beside those of the catalogue, the longest first; none where the API asks for a key."""
    try:
        with Api(api_url) as api:
            served = [stage.rpartition(".")[0] for worker in api.workers().value for stage in worker.stages]
            names = [name for name in dict.fromkeys(served) if name not in PIPELINES]
            # By name, for the API looks for one that it does not know; its list can be some seconds old.
            found = [api.pipeline(name).value for name in names]
    except CommandFailed:
        return ()
    return sorted(found, key=lambda pipeline: -len(pipeline.stages))


def _check_given(environ: Mapping[str, str]) -> None:
    """Raises CommandFailed where a given broker or store, which the stack does not start itself, does not answer."""
    settings, given = read_settings(environ), given_settings(environ)
    if "broker_url" in given:
        check_broker(settings, "without a broker in the environment the stack starts its own")
    if "store_url" in given:
        check_store(
            settings,
            "check that MOUSETRAP_STORE_URL names it; without a store in the environment the stack starts its own",
        )


class Use(NamedTuple):
    """What a stack can be used for beside the sample."""

    #: Of the targets.
    pipelines: Sequence[Pipeline]
    #: To start another worker of.
    worker: str


def welcome(plan: Plan, folder: Path, use: Use, *, keys: bool, pages: bool) -> Iterator[str]:
    """How to use a stack that is ready; with `keys` the API needs one, with `pages` it serves the dashboard."""
    key = ' -H "Authorization: Bearer $MOUSETRAP_API_KEY"' if keys else ""
    yield ""
    if pages:
        yield f"The dashboard is at {plan.api_url}/ui{', for a key of the API' if keys else ''}."
    yield f"The API is at {plan.api_url}, described at {plan.api_url}/docs. Ctrl-C stops everything."
    yield ""
    if sample := plan.sample:
        yield f"Start a run, on {sample.about}:"
        yield f"  curl{key} -d '{sample.input.decode()}' {plan.api_url}/pipelines/{sample.pipeline}/runs"
        yield ""
    yield "In another terminal, here or in a folder below, the command line and workers find this stack by themselves:"
    for pipeline in use.pipelines[:_MOST_RUN_LINES]:
        yield f"  mousetrap run {run_arguments(pipeline)}"
    if sample or not use.pipelines:
        yield f"  mousetrap run {sample.pipeline if sample else 'PIPELINE'}"
    yield f"  mousetrap worker {use.worker} --concurrency 4"
    yield f"Elsewhere, and for what is not Mousetrap: . {folder / 'environment'}"
    yield ""
