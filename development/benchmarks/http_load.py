"""Sends requests over kept connections, at full speed or a rate."""

import asyncio
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be asked, and how."""

    port: int
    path: str
    seconds: float
    callers: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Requests a second; 0 means that each caller asks again as soon as it has its answer.
    rate: float = 0.0

    @property
    def request(self) -> bytes:
        """The same for every time."""
        given = {
            "Host": f"127.0.0.1:{self.port}",
            "Content-Type": "application/json",
            "Content-Length": str(len(self.body)),
            **self.headers,
        }
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        return "\r\n".join(lines).encode() + self.body.encode()


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers to a load; latencies in milliseconds."""

    count: int
    rate: float
    p50: float
    p99: float
    statuses: Mapping[str, int]


class Caller(asyncio.Protocol):
    """One connection; it asks, reads its answer, and reports to `run`."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._answer = b""
        #: When the question under way was due.
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lose(exc)

    def ask(self, due: float) -> None:
        """Sends the question that was due then."""
        self.due = due
        self.transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if end and len(body) >= _length(head):
            self._answer = b""
            self._run.answered(self, head[9:12].decode())


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


class Run:
    """All callers together."""

    def __init__(self, load: Load) -> None:
        self.request = load.request
        self._load = load
        self._took: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._idle: list[Caller] = []
        #: What was due while every caller was busy: it counts from when it was due, not from when it could be sent.
        self._late: deque[float] = deque()
        self._end = 0.0
        self._news = asyncio.Event()
        self._over = False

    async def measure(self) -> Answered:
        """Connects, asks until the time is over, and waits for the last answer."""
        loop, load = asyncio.get_running_loop(), self._load
        for _ in range(load.callers):
            _, caller = await loop.create_connection(lambda: Caller(self), "127.0.0.1", load.port)
            self._idle.append(caller)
        everyone = list(self._idle)
        began = time.perf_counter()
        self._end = began + load.seconds
        await (self._pace(began, load.rate) if load.rate else self._let_go(began))
        while len(self._idle) < load.callers:
            self._news.clear()
            await self._news.wait()
        took = time.perf_counter() - began
        self._over = True
        for caller in everyone:
            caller.transport.close()
        latencies = sorted(self._took)
        count = len(latencies)
        p50, p99 = (latencies[int(count * part)] * 1000 for part in (0.5, 0.99))
        return Answered(count, count / took, p50, p99, dict(self._statuses))

    async def _let_go(self, began: float) -> None:
        while self._idle:
            self._idle.pop().ask(began)

    async def _pace(self, began: float, rate: float) -> None:
        for number in range(int(rate * self._load.seconds)):
            due = began + number / rate
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            if self._idle:
                self._idle.pop().ask(due)
            else:
                self._late.append(due)

    def answered(self, caller: Caller, status: str) -> None:
        """Notes the answer, and has the caller go on."""
        now = time.perf_counter()
        self._took.append(now - caller.due)
        self._statuses[status] += 1
        if self._late:
            caller.ask(self._late.popleft())
        elif not self._load.rate and now < self._end:
            caller.ask(now)
        else:
            self._idle.append(caller)
            self._news.set()

    def lose(self, why: Exception | None) -> None:
        """A server that hangs up spoils the measurement."""
        if not self._over:
            sys.exit(f"a connection was lost: {why}")


def main(text: str) -> None:
    """Reads the load as JSON and prints the answers as JSON."""
    given: dict[str, Any] = json.loads(text)
    print(json.dumps(asdict(asyncio.run(Run(Load(**given)).measure()))))


if __name__ == "__main__":
    main(sys.argv[1])
