"""Starts the stack in ./.mousetrap and leaves it running until it is asked to stop."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from rich.text import Text

from mousetrap.api_client import CommandFailed
from mousetrap.catalogue import WORKERS
from mousetrap.cli.output import terminal
from mousetrap.cli.parts import catalogue_parts
from mousetrap.cli.reachable import check_broker, check_store
from mousetrap.cli.settings import given_settings, read_settings
from mousetrap.local_stack import VALKEY, Plan, StopAsked, programs, running_stack, writing_in
from mousetrap.settings import FOLDER, announced

_COLOURS = ("green", "cyan", "magenta", "yellow", "blue")


def run_stack(environ: Mapping[str, str]) -> int:
    """The command: 0 when it was told to stop, 1 when a program of the stack ended by itself, 130 when it was forced."""
    console = terminal(wrap=False)
    names = (*programs(WORKERS), VALKEY)
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names)}
    width = max(map(len, names))
    *_, worker = ("STAGE", *WORKERS)

    def tell(name: str, line: str) -> None:
        console.print(Text.assemble((f"{name:<{width}} ", colours[name]), line))

    _check_given(environ)
    folder = Path(FOLDER).absolute()
    with ExitStack() as opened:
        stack = opened.enter_context(running_stack(environ, folder, tell, catalogue_parts()))
        with writing_in(folder):
            opened.enter_context(announced(folder, stack.exports()))
        console.print("starting; what it keeps is in ./.mousetrap")
        try:
            stack.wait_until_ready()
            lines = welcome(stack.plan, folder, worker, keys=bool(stack.settings.api_keys))
            console.print("\n".join(lines))  # at once, or the log would come between
            while True:
                stack.next_event()
        except StopAsked:
            code = 0
            console.print("stopping: the workers finish what they run; Ctrl-C again ends them at once")
        except CommandFailed as failed:
            code = failed.code
            console.print(f"mousetrap: {failed}; stopping the rest", style="bold red")
    return 130 if stack.forced else code


def _check_given(environ: Mapping[str, str]) -> None:
    """Raises CommandFailed where a broker or a store that is not the stack's own does not answer."""
    settings, given = read_settings(environ), given_settings(environ)
    if "broker_url" in given:
        check_broker(settings, "without a broker in the environment the stack starts its own")
    if "store_url" in given:
        check_store(
            settings,
            "check that MOUSETRAP_STORE_URL names it; without a store in the environment the stack starts its own",
        )


def welcome(plan: Plan, folder: Path, worker: str, *, keys: bool) -> Iterator[str]:
    """What to do with a stack that is up: `worker` is one to start more of, `keys` says whether the API asks for one."""
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
