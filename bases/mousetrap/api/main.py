"""Serves the API until asked to stop."""

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
from argparse import ArgumentParser
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from mousetrap.api.app import create_app
from mousetrap.api.declared import declared_schedules
from mousetrap.api.events import end_streams
from mousetrap.api.protocol import BoundedConfig, end_late_ones
from mousetrap.catalogue import INPUTS, PIPELINES, RECORDS, ROOT_PIPELINE, SCHEDULES, SETTINGS
from mousetrap.catalogue_entries import load
from mousetrap.settings import Settings, SettingsWrong, check_signing
from mousetrap.shutdown import ExitGuard, own_loop, own_signals
from mousetrap.telemetry import log_to_stderr, printable

_ABOUT = """Serves the HTTP API of Mousetrap. It has no options; the environment has: MOUSETRAP_BROKER_URL,
MOUSETRAP_STORE_URL, MOUSETRAP_API_HOST and MOUSETRAP_API_PORT (127.0.0.1 and 8000), MOUSETRAP_API_KEYS (needed where
the host is not this machine alone), MOUSETRAP_API_MAX_BODY, MOUSETRAP_API_MAX_CONNECTIONS, MOUSETRAP_API_RATE,
MOUSETRAP_TRUSTED_PROXIES, MOUSETRAP_UI (false leaves the dashboard out, which is at /ui), MOUSETRAP_SIGNING_KEYS, MOUSETRAP_TLS_CA,
MOUSETRAP_TLS_CERTIFICATE, MOUSETRAP_TLS_KEY, MOUSETRAP_QUEUE_TYPE, MOUSETRAP_RETENTION_SECONDS, MOUSETRAP_LOG_LEVEL and
MOUSETRAP_LOG_FORMAT. Each is also read from the file that the same name with _FILE behind it holds."""
_log = logging.getLogger("mousetrap.api")
#: For requests under way, once the server is asked to stop.
_GRACE_S = 10
#: Beyond that, for connections to close and the process to end.
_LEAVING_S = 3.0
#: What to do about an address that cannot be listened on, besides choosing another port.
_TAKEN = {
    errno.EADDRINUSE: "end the program that does, perhaps another API",
    errno.EACCES: "give this process the right to a port below 1024",
}


def main() -> int:
    """The exit code: 0 after a stop that was asked for, 2 for settings that cannot be used, as a port that is taken."""
    ArgumentParser(prog="mousetrap-api", description=_ABOUT).parse_args()
    try:
        settings = Settings.from_environ(os.environ, SETTINGS)
        unsigned = check_signing(settings)
        _check_address(settings)
        keys_file = os.environ.get("MOUSETRAP_API_KEYS_FILE")
        inputs = {name: load(function)(settings) for name, function in INPUTS.items()}
        app = create_app(
            settings,
            PIPELINES,
            inputs=inputs,
            records=RECORDS,
            declared=declared_schedules(SCHEDULES, PIPELINES, inputs),
            root=ROOT_PIPELINE,
            keys_file=Path(keys_file) if keys_file else None,
        )
    except SettingsWrong as wrong:
        print(printable(str(wrong)), file=sys.stderr)
        return 2
    log_to_stderr(settings.log_level, settings.log_format)
    if unsigned:
        _log.warning(unsigned)
    # The server's own line has no client and no rate limit; ours has both (protocol.py).
    logging.getLogger("uvicorn.error").addFilter(lambda line: line.msg != "Invalid HTTP request received.")
    # Probes come every second, scrapes every few; the path is the third argument of a line.
    logging.getLogger("uvicorn.access").addFilter(
        lambda line: (
            not (isinstance(line.args, tuple) and str(line.args[2]).startswith(("/health/", "/metrics")))
        )
    )
    guard = ExitGuard()
    guard.start()
    _Server(app, settings, guard).run()
    guard.finish_within(_LEAVING_S, 0, "stopped, but something keeps the process")
    return 0


def _check_address(settings: Settings) -> None:
    """Raises SettingsWrong for an address that this machine does not have, or that another program listens on."""
    host, port = settings.api_host, settings.api_port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SettingsWrong(
            f"MOUSETRAP_API_HOST: cannot listen on {host} ({error.strerror}): name an address of this machine"
        ) from None
    for family, _, _, _, place in found:
        try:
            socket.create_server(place[:2], family=family).close()
        except OSError as error:
            if error.errno in _TAKEN:
                raise SettingsWrong(
                    f"MOUSETRAP_API_PORT: cannot listen on {place[0]}:{port} ({os.strerror(error.errno)}): "
                    f"{_TAKEN[error.errno]}, or set another port, as MOUSETRAP_API_PORT={_another(port)}; 0 takes a free one"
                ) from None


def _another(port: int) -> int:
    return port + 1 if 1024 <= port < 65_535 else 8000


class _Server(uvicorn.Server):
    def __init__(self, app: FastAPI, settings: Settings, guard: ExitGuard) -> None:
        self._app = app
        self._guard = guard
        config = BoundedConfig(
            app,
            settings,
            host=settings.api_host,
            port=settings.api_port,
            ws="none",
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        super().__init__(config)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % 10 == 0:
            end_late_ones(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As the original; children forked from here on get their own signals and none of our sockets."""
        await super().startup(sockets)
        own_signals(signal.SIGTERM, signal.SIGINT)
        own_loop(asyncio.get_running_loop())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends the server in its grace, a second one at once.

        Unlike the original it does not raise the signal again afterwards: being asked to stop is no failure.
        """
        self.force_exit = self.should_exit
        seconds = _LEAVING_S if self.force_exit else _GRACE_S + _LEAVING_S
        self._guard.end_within(
            seconds, 0, f"the API was asked to stop and has not ended within {seconds:g} s"
        )
        self.should_exit = True
        end_streams(self._app)
