"""Runs the whole stack on this machine as processes."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from mousetrap.api_client import Api, Misused, Unreachable
from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.local_stack.children import Children, Ended
from mousetrap.local_stack.folder import locked, note_group, writing_in
from mousetrap.local_stack.plan import Parts, Plan, environment_of, exports, make_plan, programs
from mousetrap.local_stack.supervisor import StartDue, Supervisor
from mousetrap.settings import Group, Settings, make_private_folder, write_private
from mousetrap.shutdown import called_at_signals
from mousetrap.signing import new_signing_key

#: For all programs to start, on a machine that does much else.
_READY_TIMEOUT_S = 120.0
_READY_POLL_S = 0.03


class StopAsked(Exception):
    """Ctrl-C, or a SIGTERM."""


class Stack:
    """A running stack, and the queue of its events."""

    def __init__(
        self,
        plan: Plan,
        supervisor: Supervisor,
        events: "SimpleQueue[Any]",
        environment: Mapping[str, str],
        groups: Sequence[Group[Any]],
    ) -> None:
        self.plan = plan
        #: Whether a second signal killed the processes before they had finished.
        self.forced = False
        self._stop_asked = False
        self._supervisor = supervisor
        self._events = events
        self._environment = environment
        self._groups = groups

    @cached_property
    def settings(self) -> Settings:
        """The settings of its processes."""
        return Settings.from_environ(self._environment, self._groups)

    @property
    def workers(self) -> list[str]:
        """The names of its workers."""
        return self._supervisor.workers

    def exports(self) -> dict[str, str]:
        """The variables that make another process part of it."""
        return exports(self.plan, self._environment, Path.cwd())

    def add_event(self, event: Any) -> None:
        """Adds an event from another thread; an exception is raised by `next_event`."""
        self._events.put(event)

    def next_event(self, timeout_s: float | None = None) -> Any:
        """The next event that was added, None after the timeout. Programs that end are restarted while it waits.

        Raises StopAsked on a signal, ProgramEnded for a program that is not restarted, and exceptions that were added.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                event = self._events.get(
                    timeout=None if deadline is None else max(0.0, deadline - time.monotonic())
                )
            except Empty:
                return None
            match event:
                case Ended() | StartDue():
                    self._supervisor.handle(event)
                case Exception():
                    raise event
                case _:
                    return event

    def ask_to_stop(self) -> None:
        """The first call, by a signal, is an event; the second one kills the processes. From any thread."""
        self.forced = self._stop_asked
        if self.forced:
            self._supervisor.kill()
        self._stop_asked = True
        self._events.put(StopAsked())

    def wait_until_ready(self) -> None:
        """Returns once the API is ready and lists every worker, so that it knows their pipelines.

        Raises Unreachable, with the API's last reply, when that takes too long, and ProgramEnded for a worker that ended.
        """
        deadline = time.monotonic() + _READY_TIMEOUT_S
        with Api(self.plan.api_url) as api:
            while True:
                try:
                    api.ready()
                    # After the time, a worker's own lines show what it waits for.
                    if self._all_listed(api) or time.monotonic() > deadline:
                        return
                except Unreachable:
                    if time.monotonic() > deadline:
                        raise
                self.next_event(_READY_POLL_S)

    def _all_listed(self, api: Api) -> bool:
        try:
            listed = api.workers().value
        except Misused:  # the API asks for a key, which is for callers and not for us
            return True
        host = socket.gethostname()
        return self._supervisor.worker_pids <= {it.pid for it in listed if it.host == host}


@contextmanager
def running_stack(
    environ: Mapping[str, str], folder: Path, on_line: Callable[[str, str], None], parts: Parts
) -> Iterator[Stack]:
    """A stack whose processes have just been started, with its data in `folder`; `on_line` gets each line that they print.

    On leaving, the API stops first, then the workers finish what they run, and the server stops last. A signal raises
    StopAsked in `next_event`; a second one kills the processes.
    """
    settings = Settings.from_environ(environ, parts.groups)
    given = Settings.given_in(environ, parts.groups)
    with writing_in(folder):
        make_private_folder(folder)
    valkey = EmbeddedValkey(folder / "valkey", max_bytes=settings.embedded_max_bytes)
    events: SimpleQueue[Any] = SimpleQueue()
    with ExitStack() as opened:
        lock = opened.enter_context(locked(folder))
        port = find_api_port(settings)
        with writing_in(folder):
            sample = opened.enter_context(parts.sample(folder, settings, given)) if parts.sample else None
            plan = make_plan(
                settings, given, folder, api_port=port, valkey_address=valkey.address, sample=sample
            )
            _make_key(plan)
        children = Children(on_line, events.put, settings.grace_seconds, lock)
        note_group(lock, children.group)
        opened.callback(children.close)
        environment = environment_of(plan, environ)
        supervisor = Supervisor(programs(parts.workers), environment, children, events, on_line)
        stack = Stack(plan, supervisor, events, environment, parts.groups)
        opened.enter_context(called_at_signals(stack.ask_to_stop))
        if plan.embedded:
            opened.callback(valkey.stop)
            supervisor.start_server(valkey)
        opened.callback(supervisor.stop)
        supervisor.start()
        yield stack


def find_api_port(settings: Settings) -> int:
    """The port that was asked for, or a free one for 0. Raises Misused when it is taken."""
    with socket.socket(socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.api_host, settings.api_port))
        except OSError as error:
            raise Misused(
                f"the API cannot listen on {settings.api_host}:{settings.api_port} ({error.strerror}): "
                f"choose another port, as MOUSETRAP_API_PORT={settings.api_port + 1}, or 0 for a free one"
            ) from error
        port: int = probe.getsockname()[1]
        return port


def _make_key(plan: Plan) -> None:
    """Makes a signing key, once for each folder: messages that are still queued from an earlier stack stay valid."""
    key = plan.variables.get("MOUSETRAP_SIGNING_KEYS_FILE")
    if key and not Path(key).exists():
        write_private(Path(key), new_signing_key() + "\n")
