"""Runs the example once, in a stack of its own that is gone afterwards, and shows all there is to see."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mousetrap.api_client import Api, CommandFailed, Misused, follow
from mousetrap.catalogue import PIPELINES, SAMPLE
from mousetrap.catalogue_entries import Sample
from mousetrap.cli.output import terminal
from mousetrap.cli.parts import catalogue_parts
from mousetrap.cli.reachable import check_broker
from mousetrap.cli.result import result_of
from mousetrap.cli.screen import run_screen
from mousetrap.cli.settings import read_settings
from mousetrap.local_stack import Stack, StopAsked, running_stack
from mousetrap.settings import Settings
from mousetrap.shapes import Event, Progress, Run

#: Seconds for the whole run, and lines of each program's output that a failure shows.
_PATIENCE, _TAIL = 60.0, 12
#: What tells how to reach RabbitMQ.
_BROKER = ("MOUSETRAP_BROKER_URL", "MOUSETRAP_TLS_", "MOUSETRAP_QUEUE_TYPE")


class TooSlow(CommandFailed):
    """The run has not ended in time."""


def run_demo(environ: Mapping[str, str]) -> int:
    """The command: 0 when the run completed, 1 when it or the stack did not, 3 without its broker, 130 on Ctrl-C."""
    if SAMPLE is None:
        raise Misused("the catalogue has no SAMPLE: there is nothing to demonstrate")
    console = terminal()
    said: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_TAIL))
    began = time.monotonic()

    def keep(name: str, line: str) -> None:
        said[name].append(line)

    with TemporaryDirectory(prefix="mousetrap-demo-") as folder:
        try:
            given = read_settings(environ)
            if given.broker_url.startswith("amqp"):
                check_broker(given, "without a broker in the environment the demo needs no RabbitMQ")
            with running_stack(_own(environ), Path(folder), keep, catalogue_parts()) as stack:
                sample = stack.plan.sample
                assert sample is not None
                run = _one_run(stack, sample, console)
                settings = stack.settings
        except StopAsked:
            return 130
        except CommandFailed as failed:
            console.print(f"the demo failed: {failed}", style="bold red", soft_wrap=True)
            _print_tails(console, said)
            return failed.code
    if run.state != "completed":
        _print_tails(console, said)
        return 1
    console.print()
    console.print(places(settings, sample))
    left = "RabbitMQ's queues stay, the rest" if settings.broker_url.startswith("amqp") else "all of it"
    console.print(f"\nDone in {time.monotonic() - began:.1f} s; {left} is removed.")
    return 0


def _own(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without what would tie the demo to another stack; RabbitMQ's address stays, if one is given."""
    rabbitmq = read_settings(environ).broker_url.startswith("amqp")
    foreign = ("MOUSETRAP_",) if rabbitmq else ("MOUSETRAP_", "RABBITMQ_")
    kept = _BROKER if rabbitmq else ()
    ours = {
        name: value
        for name, value in environ.items()
        if name.startswith(kept) or not name.startswith(foreign)
    }
    return {**ours, "MOUSETRAP_API_PORT": "0"}


def _one_run(stack: Stack, sample: Sample, console: Console) -> Run:
    deadline = time.monotonic() + _PATIENCE
    with console.status(f"starting a Valkey server, the API and {len(stack.workers)} workers"):
        stack.wait_until_ready()
    with Api(stack.plan.api_url) as api:
        run_id = api.start(sample.pipeline, sample.input).value.run_id
        console.print(heading(sample, stack.plan.api_url, run_id))
        stages = tuple(stage.name for stage in PIPELINES[sample.pipeline].stages)
        with run_screen(console, stages) as show:
            for news in _heard(stack, run_id, deadline):
                show(news)
        run = api.run(run_id).value
    console.print()
    console.print(result_of(run))
    return run


def _heard(stack: Stack, run_id: str, deadline: float) -> Iterator[Event | Progress]:
    """The run's news among the stack's, so that Ctrl-C or a dead worker ends the waiting."""

    def listen() -> None:
        try:
            with Api(stack.plan.api_url) as api:
                for news in follow(api, run_id):
                    stack.add_event(news)
        except CommandFailed as failed:
            stack.add_event(failed)

    threading.Thread(target=listen, name="follow", daemon=True).start()
    while True:
        news = stack.next_event(max(0.0, deadline - time.monotonic()))
        if news is None:
            raise TooSlow(
                f"the run has not ended within {_PATIENCE:g} s; "
                "should other workers serve the same queues, they may have taken its jobs"
            )
        yield news
        if isinstance(news, Event) and news.last:
            return


def heading(sample: Sample, api_url: str, run_id: str) -> Table:
    """What was started."""
    table = Table.grid(padding=(0, 2))
    for label, fact in sample.facts.items():
        table.add_row(label, fact)
    table.add_row("started", f"POST {api_url}/pipelines/{sample.pipeline}/runs")
    table.add_row("run", Text(run_id, "bold"))
    return table


def places(settings: Settings, sample: Sample) -> Table:
    """Where queues, state and results were kept, without passwords."""
    stages = PIPELINES[sample.pipeline].stages
    table = Table.grid(padding=(0, 2))
    table.add_row(
        "queues",
        f"{', '.join(stage.queue for stage in stages)} at {_without_login(settings.broker_url)}",
    )
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


def _print_tails(console: Console, said: Mapping[str, Iterable[str]]) -> None:
    for name, lines in said.items():
        console.print(f"\nthe last that {name} said:", style="bold")
        for line in lines:
            console.print(Text(f"  {line}", "dim"), soft_wrap=True)
