"""Runs the catalogue's sample in a stack of its own."""

import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mousetrap.api_client import Api, CommandFailed, Misused, Reply, StartOptions, Unreachable, follow
from mousetrap.catalogue import PIPELINES, SAMPLE, SETTINGS, WORKERS
from mousetrap.catalogue_entries import Sample, SampleRun, load
from mousetrap.cli.output import terminal
from mousetrap.cli.progress import waiting_stages
from mousetrap.cli.reachable import check_broker
from mousetrap.cli.result import result_of
from mousetrap.cli.screen import first_jobs, run_screen
from mousetrap.cli.session import read_settings
from mousetrap.local_stack import Parts, Stack, StopAsked, running_stack
from mousetrap.settings import Settings
from mousetrap.shapes import Event, Progress, Run

_RUN_TIMEOUT_S, _AGAIN_S = 60.0, 0.2
#: Lines of each program's output that are shown after a failure.
_LAST_LINES = 12
#: The variables that lead to RabbitMQ.
_RABBITMQ = ("MOUSETRAP_BROKER_URL", "MOUSETRAP_TLS_", "MOUSETRAP_QUEUE_TYPE")


T = TypeVar("T")


class TooSlow(CommandFailed):
    """The run has not ended in time."""


def run_demo(environ: Mapping[str, str]) -> int:
    """The exit code: 0 when all runs completed, 1 when one or the stack did not, 3 without its broker, 130 on Ctrl-C."""
    if SAMPLE is None:
        raise Misused("the catalogue has no SAMPLE: there is nothing to demonstrate")
    console = terminal()
    last_lines: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_LAST_LINES))
    began = time.monotonic()
    with TemporaryDirectory(prefix="mousetrap-demo-") as folder:
        try:
            given = read_settings(environ)
            rabbitmq = given.broker_url.startswith("amqp")
            if rabbitmq:
                check_broker(given, "without a broker in the environment the demo needs no RabbitMQ")
            parts = Parts(workers=WORKERS, groups=SETTINGS, sample=load(SAMPLE))
            own = _own_environment(environ, rabbitmq)
            with running_stack(
                own, Path(folder), lambda name, line: last_lines[name].append(line), parts
            ) as stack:
                sample = stack.plan.sample
                assert sample is not None
                completed = _run_all(stack, sample, console)
                settings = stack.settings
        except StopAsked:
            return 130
        except CommandFailed as failed:
            console.print(f"the demo failed: {failed}", style="bold red", soft_wrap=True)
            _print_last_lines(console, last_lines)
            return failed.code
    if not completed:
        _print_last_lines(console, last_lines)
        return 1
    console.print()
    console.print(places(settings, sample))
    removed = "RabbitMQ's queues stay, the rest" if rabbitmq else "all of it"
    console.print(f"\nDone in {time.monotonic() - began:.1f} s; {removed} is removed.")
    if settings.ui:
        console.print("To see runs in a browser: `mousetrap up` (or make up) prints the dashboard's address.")
    return 0


def _own_environment(environ: Mapping[str, str], rabbitmq: bool) -> dict[str, str]:
    """`environ` without the variables of another stack; those that lead to RabbitMQ stay, if it is given."""
    foreign = ("MOUSETRAP_",) if rabbitmq else ("MOUSETRAP_", "RABBITMQ_")
    kept = _RABBITMQ if rabbitmq else ()
    ours = {
        name: value
        for name, value in environ.items()
        if name.startswith(kept) or not name.startswith(foreign)
    }
    return {**ours, "MOUSETRAP_API_PORT": "0"}


def _run_all(stack: Stack, sample: Sample, console: Console) -> bool:
    """Whether all runs of the sample completed; none begins after one that did not."""
    with console.status(f"starting a Valkey server, the API and {len(stack.workers)} workers"):
        stack.wait_until_ready()
    if _run(stack, sample, console).state != "completed":
        return False
    for more in sample.then:
        console.print()
        if _run(stack, more, console).state != "completed":
            return False
    return True


def _run(stack: Stack, sample: Sample | SampleRun, console: Console) -> Run:
    deadline = time.monotonic() + _RUN_TIMEOUT_S
    with Api(stack.plan.api_url) as api:
        run_id = f"demo-{secrets.token_hex(8)}"
        options = StartOptions(id=run_id)
        _answered(stack, deadline, lambda: api.start(sample.pipeline, sample.input, options))
        console.print(heading(sample, stack.plan.api_url, run_id))
        stages = _answered(stack, deadline, lambda: api.pipeline(sample.pipeline)).value.stages
        with run_screen(console, waiting_stages(stages), first_jobs(api, run_id)) as show:
            for event in _run_events(stack, run_id, deadline):
                show(event)
        run = _answered(stack, deadline, lambda: api.run(run_id)).value
    console.print()
    console.print(result_of(run))
    return run


def _answered(stack: Stack, deadline: float, ask: Callable[[], Reply[T]]) -> Reply[T]:
    """The API's reply. It is asked again while it has none: the servers of a busy machine can be too slow for it at first."""
    while True:
        try:
            return ask()
        except Unreachable:
            if time.monotonic() > deadline:
                raise
            stack.next_event(_AGAIN_S)


def _run_events(stack: Stack, run_id: str, deadline: float) -> Iterator[Event | Progress]:
    """The run's events, read from the stack's: so a Ctrl-C or a worker that ended raises here."""

    def forward() -> None:
        try:
            with Api(stack.plan.api_url) as api:
                for event in follow(api, run_id):
                    stack.add_event(event)
        except CommandFailed as failed:
            stack.add_event(failed)

    threading.Thread(target=forward, name="follow", daemon=True).start()
    while True:
        event = stack.next_event(max(0.0, deadline - time.monotonic()))
        if event is None:
            raise TooSlow(
                f"the run has not ended within {_RUN_TIMEOUT_S:g} s; "
                "if other workers serve the same queues, they may have taken its jobs"
            )
        yield event
        if isinstance(event, Event) and event.last:
            return


def heading(sample: Sample | SampleRun, api_url: str, run_id: str) -> Table:
    """The sample, the request that started it, and its run."""
    table = Table.grid(padding=(0, 2))
    for label, fact in sample.facts.items():
        table.add_row(label, fact)
    table.add_row("started", f"POST {api_url}/pipelines/{sample.pipeline}/runs")
    table.add_row("run", Text(run_id, "bold"))
    return table


def places(settings: Settings, sample: Sample) -> Table:
    """Where queues, state and results were kept, without passwords."""
    names = (sample.pipeline, *(more.pipeline for more in sample.then))
    queues = ", ".join(stage.queue for name in names for stage in PIPELINES[name].stages)
    table = Table.grid(padding=(0, 2))
    table.add_row("queues", f"{queues} at {_without_login(settings.broker_url)}")
    table.add_row("state", _without_login(settings.store_url))
    for label, place in sample.results.items():
        table.add_row(label, place)
    if settings.broker_url.startswith("amqp"):
        vhost = unquote(urlsplit(settings.broker_url).path.removeprefix("/")) or "/"
        option = "" if vhost == "/" else f"-p {vhost} "
        table.add_row("see them", f"rabbitmqctl {option}list_queues name type messages")
    return table


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _print_last_lines(console: Console, last_lines: Mapping[str, Iterable[str]]) -> None:
    for name, lines in last_lines.items():
        console.print(f"\nthe last lines of {name}:", style="bold")
        for line in lines:
            console.print(Text(f"  {line}", "dim"), soft_wrap=True)
