"""Runs the stack in ./.mousetrap until it is asked to stop."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mousetrap.api_client import CommandFailed
from mousetrap.catalogue import SAMPLE, SETTINGS, WORKERS
from mousetrap.catalogue_entries import Worker, load
from mousetrap.cli.output import terminal
from mousetrap.cli.reachable import check_broker, check_store
from mousetrap.cli.session import given_settings, read_settings
from mousetrap.cli.targets import given_modules
from mousetrap.local_stack import VALKEY, Parts, Plan, Stack, StopAsked, programs, running_stack, writing_in
from mousetrap.settings import FOLDER, announced

_COLOURS = ("green", "cyan", "magenta", "yellow", "blue")


def run_stack(environ: Mapping[str, str], targets: Sequence[str] = ()) -> int:
    """The exit code: 0 when it was asked to stop, 130 when it was killed, 1 when a program ended by itself."""
    _check_given(environ)
    workers = _with_targets(targets or given_modules(read_settings(environ)))
    console = terminal(wrap=False)
    folder = Path(FOLDER).absolute()
    parts = Parts(workers=workers, groups=SETTINGS, sample=load(SAMPLE) if SAMPLE else None)
    with ExitStack() as opened:
        on_line = line_printer(console, (*programs(workers), VALKEY))
        stack = opened.enter_context(running_stack(environ, folder, on_line, parts))
        with writing_in(folder):
            opened.enter_context(announced(folder, stack.exports()))
        console.print("starting; what it keeps is in ./.mousetrap")
        try:
            _serve(stack, folder, console)
        except StopAsked:
            code = 0
            console.print("stopping: the workers finish what they run; Ctrl-C again ends them at once")
        except CommandFailed as failed:
            code = failed.code
            console.print(f"mousetrap: {failed}; stopping the rest", style="bold red")
    return 130 if stack.forced else code


def _serve(stack: Stack, folder: Path, console: Console) -> None:
    """Runs until next_event raises."""
    stack.wait_until_ready()
    *_, worker = ("STAGE", *WORKERS)
    lines = welcome(stack.plan, folder, worker, keys=bool(stack.settings.api_keys))
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


def welcome(plan: Plan, folder: Path, worker: str, *, keys: bool) -> Iterator[str]:
    """How to use a stack that is ready: `worker` is one to start more of; with `keys` the API needs one."""
    key = ' -H "Authorization: Bearer $MOUSETRAP_API_KEY"' if keys else ""
    yield ""
    yield f"The API is at {plan.api_url}, described at {plan.api_url}/docs. Ctrl-C stops everything."
    yield ""
    if sample := plan.sample:
        yield f"Start a run, on {sample.about}:"
        yield f"  curl{key} -d '{sample.input.decode()}' {plan.api_url}/pipelines/{sample.pipeline}/runs"
        yield ""
    yield "In another terminal, here or in a folder below, the command line and workers find this stack by themselves:"
    yield f"  mousetrap run {plan.sample.pipeline if plan.sample else 'PIPELINE'}"
    yield f"  mousetrap worker {worker} --concurrency 4"
    yield f"Elsewhere, and for what is not Mousetrap: . {folder / 'environment'}"
    yield ""
