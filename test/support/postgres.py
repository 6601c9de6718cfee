"""Runs a private PostgreSQL server from the machine's own package."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import mkdtemp

from support.packages import install
from support.ports import free_ports
from support.processes import Process, clean_environment
from support.waiting import until

HOW = "There is no PostgreSQL to test against: put its server on this machine (Debian and Ubuntu: `apt-get install postgresql`)"

_DEBIAN = Path("/usr/lib/postgresql")
#: Seconds that it may take to start, on a machine that does much else.
_START_TIMEOUT_S = 60.0


class NoPostgres(Exception):
    """There is no server, and none could be started; the text names what would help."""


def find_programs() -> Path | None:
    """The folder of `initdb` and `postgres`, of the newest version."""
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    at = found[-1] if found else shutil.which("initdb")
    return Path(at).resolve().parent if at else None


class PostgresServer:
    """A server that keeps its port and its data from start to start, until removed. It refuses to run as root."""

    def __init__(self) -> None:
        if find_programs() is None:
            install("postgresql", "PostgreSQL")
        programs = find_programs()
        if programs is None:
            raise NoPostgres(HOW)
        self._programs = programs
        #: Not in pytest's folder, which other users cannot enter.
        self._folder = Path(mkdtemp(prefix="mousetrap-postgres-"))
        self._data = ("-D", str(self._folder / "data"))
        (self._port,) = free_ports(1)
        self._server: Process | None = None
        self._as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
        else:
            self._as_user = []
        self._run("initdb", "--auth=trust", "--username=tests", "--no-sync", "--encoding=UTF8", "--locale=C")
        self.start()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://tests@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        command = [
            str(self._programs / "postgres"),
            "-D",
            str(self._folder / "data"),
            "-k",
            str(self._folder),
        ]
        options = {"port": self._port, "listen_addresses": "127.0.0.1", "fsync": "off", "max_connections": 50}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._server = Process([*self._as_user, *command, *settings], clean_environment())
        until(self._answers, f"the private PostgreSQL server at {self.url()} answers", _START_TIMEOUT_S)

    def stop(self) -> None:
        """Ends it at once, with its connections; it gives its memory back, which it would not do when killed."""
        if self._server:
            subprocess.run(
                [*self._as_user, self._program("pg_ctl"), *self._data, "stop", "-m", "immediate"],
                check=False,
                capture_output=True,
                cwd="/",
            )
            self._server.kill()
            self._server = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def make_database(self, name: str) -> str:
        """The address of a new, empty database."""
        self._run_sql(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        self._run_sql(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _answers(self) -> bool:
        if self._server is None or not self._server.running:
            raise AssertionError(f"PostgreSQL ended: {self._server and self._server.output}")
        ready = [self._program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        return subprocess.run(ready, check=False).returncode == 0

    def _program(self, name: str) -> str:
        return str(self._programs / name)

    def _run(self, program: str, *arguments: str) -> None:
        command = [
            *self._as_user,
            str(self._programs / program),
            "-D",
            str(self._folder / "data"),
            *arguments,
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
        assert done.returncode == 0, f"{program} failed:\n{done.stdout}{done.stderr}"

    def _run_sql(self, statement: str) -> None:
        command = [self._program("psql"), "-X", "-q", "-d", self.url(), "-c", statement]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"{statement}: {done.stderr}"
