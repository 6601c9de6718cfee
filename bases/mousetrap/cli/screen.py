"""Shows a run while it happens, as a table or as lines."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.live import Live

from mousetrap.api_client import Api, CommandFailed, JobFilter
from mousetrap.cli.progress import Stages, advance, ended, open_branches, unsettled, with_jobs
from mousetrap.cli.tables.runs import event_line, progress_line, stages_table, with_opener
from mousetrap.shapes import Event, JobLine, Progress

#: Branches are looked at so often: what their jobs do is no event of the run.
_LOOK_AGAIN_S = 0.5

#: The first job of each of these stages, None where there is none; what cannot be learned is left out.
Look = Callable[[Sequence[str]], Mapping[str, JobLine | None]]
Show = Callable[[Event | Progress], None]


def first_jobs(api: Api, run_id: str) -> Look:
    """Asks the API for the jobs of a run."""

    def look(stages: Sequence[str]) -> Mapping[str, JobLine | None]:
        found: dict[str, JobLine | None] = {}
        for stage in stages:
            # The command that is followed may end meanwhile, and close its connection: that is the RuntimeError.
            with suppress(CommandFailed, RuntimeError):
                page = api.jobs(run_id, JobFilter(stage=stage), limit=1).value
                if page.jobs or page.next is None:
                    found[stage] = page.jobs[0] if page.jobs else None
        return found

    return look


@contextmanager
def run_screen(console: Console, stages: Stages, look: Look) -> Iterator[Show]:
    """A function that shows an event: in a table that is drawn again, or as a line where there is no terminal."""
    with _live_table(console, stages, look) if console.is_terminal else _lines(console, stages) as show:
        yield show


class _Table:
    """The stages of a run, which its events change, and what its jobs show."""

    def __init__(self, stages: Stages, look: Look) -> None:
        self.stages = stages
        self._look = look
        self._changing = threading.Lock()

    def show(self, event: Event | Progress) -> None:
        with self._changing:
            self.stages = advance(self.stages, event)
            if isinstance(event, Event):
                if asked := unsettled(self.stages, event):
                    self.stages = with_jobs(self.stages, self._look(asked), decided=True)
                self.stages = ended(self.stages, event) if event.last else self.stages

    def look_again(self) -> None:
        if not (asked := open_branches(self.stages)):
            return
        seen = self._look(asked)
        with self._changing:
            still = open_branches(self.stages)  # events that came meanwhile are newer
            jobs = {name: job for name, job in seen.items() if name in still}
            self.stages = with_jobs(self.stages, jobs, decided=False)


@contextmanager
def _live_table(console: Console, stages: Stages, look: Look) -> Iterator[Show]:
    table, over = _Table(stages, look), threading.Event()

    def keep_looking() -> None:
        while not over.wait(_LOOK_AGAIN_S):
            table.look_again()

    looking = threading.Thread(target=keep_looking, name="look at branches", daemon=True)
    with Live(
        get_renderable=lambda: stages_table(table.stages, time.time()), console=console, refresh_per_second=12
    ):
        if any(stage.in_fork for stage in stages):
            looking.start()
        try:
            yield table.show
        finally:
            over.set()


@contextmanager
def _lines(console: Console, stages: Stages) -> Iterator[Show]:
    began_ms: int | None = None
    tenth = 0
    opened: dict[str, str] = {}

    def show(event: Event | Progress) -> None:
        nonlocal began_ms, tenth
        if isinstance(event, Event):
            began_ms = event.at_ms if began_ms is None else began_ms
            console.print(event_line(with_opener(event, opened), began_ms), soft_wrap=True)
        elif event.lost is not None and event.total and tenth != (tenth := _tenth(event)):
            console.print(progress_line(stages, event), soft_wrap=True)

    yield show


def _tenth(of_children: Progress) -> int:
    """How many tenths of the children are decided."""
    return int(10 * (of_children.done + (of_children.lost or 0)) / (of_children.total or 1))
