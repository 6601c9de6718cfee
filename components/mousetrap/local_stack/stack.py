"""Runs the whole stack on this machine: server, API and workers as processes that start and stop together."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, NamedTuple

from mousetrap.api_client import Api, Misused, Unreachable
from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.local_stack.children import Children, Ended
from mousetrap.local_stack.folder import hold, keeping, taken
from mousetrap.local_stack.loading import loading_fault
from mousetrap.local_stack.plan import API, Parts, Plan, environment_of, exports, make_plan, programs
from mousetrap.local_stack.restarts import PAUSE, Life, ProgramEnded, end_of, next_life
from mousetrap.local_stack.server import VALKEY, Server
from mousetrap.settings import Settings, make_private_folder, write_private
from mousetrap.signing import new_signing_key

#: Seconds for the API to serve, and seconds between two looks.
_START, _LOOK = 30.0, 0.03


class StopAsked(Exception):
    """Ctrl-C, or a SIGTERM."""


class _Due(NamedTuple):
    """It is time to start a program again."""

    name: str


class Stack:
    """A running stack: what it is made of, and its news."""

    def __init__(
        self,
        plan: Plan,
        parts: Parts,
        children: Children,
        news: "SimpleQueue[Any]",
        environment: Mapping[str, str],
        tell: Callable[[str, str], None],
    ) -> None:
        self.plan = plan
        self.programs = programs(parts.workers)
        self._groups = parts.groups
        #: Whether a second signal ended the processes before they had finished.
        self.forced = False
        self._asked = False
        self._children = children
        self._news = news
        self._environment = environment
        self._tell = tell
        self._lives: dict[str, Life] = {}
        self._server: Server | None = None

    def serve(self, valkey: EmbeddedValkey) -> None:
        """Starts the embedded server, and keeps it running from now on."""
        self._server = Server(
            valkey, self._news.put, partial(self._tell, VALKEY), partial(self._later, VALKEY)
        )
        self._server.start()

    @cached_property
    def settings(self) -> Settings:
        """What its processes read."""
        return Settings.from_environ(self._environment, self._groups)

    def exports(self) -> dict[str, str]:
        """What others need to be part of it."""
        return exports(self.plan, self._environment, Path.cwd())

    @property
    def workers(self) -> list[str]:
        """Its programs without the API."""
        return [name for name in self.programs if name != API]

    def start(self) -> None:
        """Starts all programs."""
        for name in self.programs:
            self._start(name)
        self._lives = dict.fromkeys(self.workers, Life(time.monotonic()))

    def put(self, news: Any) -> None:
        """Adds news from another thread; an exception is raised where the news are read."""
        self._news.put(news)

    def news(self, seconds: float | None = None) -> Any:
        """What came next, or None after so many seconds. Raises StopAsked, ProgramEnded, and what was put."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            try:
                news = self._news.get(
                    timeout=None if deadline is None else max(0.0, deadline - time.monotonic())
                )
            except Empty:
                return None
            match news:
                case Ended() | _Due():
                    self._keep_running(news)
                case Exception():
                    raise news
                case _:
                    return news

    def _keep_running(self, news: Ended | _Due) -> None:
        match news:
            case Ended(name, code) if name == VALKEY and self._server:
                self._server.judge_end(code)
            case Ended(name, code):
                self._start_again(name, code)
            case _Due(name) if name == VALKEY and self._server:
                self._server.start_again()
            case _Due(name):
                self._start(name)

    def _start(self, name: str) -> None:
        self._children.start(name, self.programs[name], self._environment)

    def _start_again(self, name: str, code: int) -> None:
        """A worker that the watchdog ended, or that was killed, is started after a pause; all else ends the stack."""
        if code == 1 and (fault := loading_fault(self.programs[name], self._environment)):
            raise ProgramEnded(f"{name} cannot be loaded: {fault}")
        now = time.monotonic()
        life = next_life(self._lives[name], code, now) if name in self._lives else None
        if life is None:
            raise ProgramEnded(f"{name} ended by itself, with {end_of(code)}")
        self._lives[name] = life
        self._tell(name, f"ended by itself, with {end_of(code)}; starting it again in {PAUSE:g} s")
        self._later(name, PAUSE)

    def _later(self, name: str, seconds: float) -> None:
        timer = threading.Timer(seconds, self._news.put, [_Due(name)])
        timer.daemon = True
        timer.start()

    def ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        """What a signal does: the first one is news, a second one ends the processes."""
        self.forced = self._asked
        if self.forced:
            self._children.kill()
        self._asked = True
        self._news.put(StopAsked())

    def wait_until_ready(self) -> None:
        """Returns once the API serves. Raises Unreachable with its last words when that takes too long."""
        deadline = time.monotonic() + _START
        with Api(self.plan.api_url) as api:
            while True:
                try:
                    return api.ready()
                except Unreachable:
                    if time.monotonic() > deadline:
                        raise
                self.news(_LOOK)


@contextmanager
def running_stack(
    environ: Mapping[str, str], folder: Path, tell: Callable[[str, str], None], parts: Parts
) -> Iterator[Stack]:
    """The stack, its processes just started, its data in `folder`; `tell` gets each line that a process prints.

    On leaving, the API stops first, then the workers finish what they run, and the server goes last. A signal raises
    StopAsked where the news are read; a second one ends the processes at once.
    """
    settings = Settings.from_environ(environ, parts.groups)
    with keeping(folder):
        make_private_folder(folder)
    valkey = EmbeddedValkey(folder / "valkey", max_bytes=settings.embedded_max_bytes)
    news: SimpleQueue[Any] = SimpleQueue()
    with ExitStack() as opened:
        lock = opened.enter_context(taken(folder))
        port = _api_port(settings)
        given = Settings.given_in(environ, parts.groups)
        with keeping(folder):
            sample = opened.enter_context(parts.sample(folder, settings, given)) if parts.sample else None
            plan = make_plan(
                settings, given, folder, api_port=port, valkey_address=valkey.address, sample=sample
            )
            _make_key(plan)
        children = Children(tell, news.put, settings.grace_seconds, lock)
        hold(lock, children.group)
        opened.callback(children.close)
        stack = Stack(plan, parts, children, news, environment_of(plan, environ), tell)
        opened.enter_context(_handled(stack.ask_to_stop))
        if plan.embedded:
            opened.callback(valkey.stop)
            stack.serve(valkey)
        opened.callback(_stop, stack, children)
        stack.start()
        yield stack


def _stop(stack: Stack, children: Children) -> None:
    children.stop([API])
    children.stop(stack.workers)


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _api_port(settings: Settings) -> int:
    """The port that was asked for, or a free one for 0. Raises Misused when it is taken."""
    with socket.socket(socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.api_host, settings.api_port))
        except OSError as error:
            raise Misused(
                f"the API cannot listen on {settings.api_host}:{settings.api_port} ({error.strerror}): "
                f"choose another port, as in `MOUSETRAP_API_PORT={settings.api_port + 1} mousetrap up`, or 0 for a free one"
            ) from error
        port: int = probe.getsockname()[1]
        return port


def _make_key(plan: Plan) -> None:
    """Makes a signing key, once for each folder: messages that are still queued from an earlier stack stay valid."""
    key = plan.variables.get("MOUSETRAP_SIGNING_KEYS_FILE")
    if key and not Path(key).exists():
        write_private(Path(key), new_signing_key() + "\n")
