"""Opens pages in Chromium, over a real API and a real worker."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from mousetrap.settings import Settings
from support import waiting_worker
from support.api_server import serving
from support.clients import http_client
from support.processes import Process, clean_environment
from support.stack import SIGNING_KEYS
from support.waiting import until

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.example 127.0.0.1",  # hosts of other names, for what depends on them
]
#: A busy machine can take long for what a quiet one shows at once.
_WAIT_MS = 60_000
expect.set_options(timeout=_WAIT_MS)
#: Reports what the policy of a page refused; a script of the browser's own, which that policy does not bind.
_REPORT = (
    "addEventListener('securitypolicyviolation', it => report(`${it.effectiveDirective}: ${it.blockedURI}`))"
)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; `make test-browser` has installed it."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.exit("Chromium is not installed: `make test-browser` installs it", returncode=2)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Stack:
    """An API with the dashboard, and a worker whose jobs wait for every reason."""

    url: str
    api: httpx.Client
    start_worker: Callable[..., Process]

    def page(self, path: str) -> str:
        return f"{self.url}/ui{path}"

    def submit(self, pipeline: str, how: str = "done", mark: Path | None = None, **options: str) -> str:
        """Starts a run of a pipeline of that worker; its id."""
        return self.start(pipeline, {"how": how, "mark": str(mark or "")}, **options)

    def start(self, pipeline: str, given: Any, **options: str) -> str:
        """Starts a run with this input; its id."""
        answer = self.api.post(f"/pipelines/{pipeline}/runs", json=given, params=options)
        assert answer.status_code == 202, answer.text
        run_id: str = answer.json()["run_id"]
        return run_id

    def until_state(self, run_id: str, state: str) -> None:
        until(lambda: self.api.get(f"/runs/{run_id}").json()["state"] == state, f"the run is {state}")


@pytest.fixture
def start_stack(store_url: str) -> Iterator[Callable[..., Stack]]:
    """`start_stack(api_keys="…", broker_url=…)` serves an API with these settings; all of it ends with the test."""
    with ExitStack() as exits:

        def start(**settings: Any) -> Stack:
            given = {
                "broker_url": store_url,
                "store_url": store_url,
                "signing_keys": SIGNING_KEYS,
                **settings,
            }
            url = exits.enter_context(serving(Settings(**given)))

            def start_worker(
                module: ModuleType = waiting_worker, line: str = "serving waiting_do", **more: str
            ) -> Process:
                command = [sys.executable, str(module.__file__)]
                environment = {
                    "MOUSETRAP_BROKER_URL": given["broker_url"],
                    "MOUSETRAP_STORE_URL": store_url,
                    "MOUSETRAP_SIGNING_KEYS": SIGNING_KEYS,
                    "MOUSETRAP_CONCURRENCY": "2",
                    "MOUSETRAP_PREFETCH": "2",
                    "MOUSETRAP_HEALTH_LINE_SECONDS": "0.1",
                    "PYTHONPATH": str(Path(waiting_worker.__file__).parents[1]),
                    **more,
                }
                process = Process(command, clean_environment(**environment))
                exits.callback(process.kill)
                process.wait_for_line(line)
                return process

            return Stack(url, exits.enter_context(http_client(url)), start_worker)

        yield start


@pytest.fixture
def stack(start_stack: Callable[..., Stack]) -> Stack:
    """An API without keys, as on a developer's machine; no worker serves yet."""
    return start_stack()


@dataclass
class Watch:
    """What went wrong in the browser."""

    hosts: set[str] = field(default_factory=lambda: {"127.0.0.1", "localhost"})
    faults: list[str] = field(default_factory=list)

    def request(self, request: Request) -> None:
        place = urlsplit(request.url)
        if place.scheme in ("http", "https") and place.hostname not in self.hosts:
            self.faults.append(f"asked another host: {request.url}")


@pytest.fixture
def watch() -> Watch:
    """`watch.hosts` may be asked; each `*.example` is this machine."""
    return Watch()


@pytest.fixture
def open_browser(chromium: Browser, watch: Watch) -> Iterator[Callable[..., Page]]:
    """`open_browser(color_scheme="dark", java_script_enabled=False)` is a tab of a browser of its own.

    A refusal by a page's policy, an error of its script and a request to another host fail the test.
    """
    contexts: list[BrowserContext] = []

    def start(**options: Any) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.expose_binding("report", lambda _, text: watch.faults.append(f"policy: {text}"))
        context.add_init_script(_REPORT)
        context.on("request", watch.request)
        page = context.new_page()
        page.set_default_timeout(_WAIT_MS)
        page.on("pageerror", lambda error: watch.faults.append(f"script: {error}"))
        return page

    yield start
    for context in contexts:
        context.close()
    assert watch.faults == []


@pytest.fixture
def tab(open_browser: Callable[..., Page]) -> Page:
    """A tab of a usual browser."""
    return open_browser()
