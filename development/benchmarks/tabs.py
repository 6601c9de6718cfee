"""Keeps pages of the dashboard open, as tabs of browsers do."""

import asyncio
import json
import sys

#: What `fleet.py` prints once all workers are known.
KNOWN = "all workers are known"
#: Printed once each stream has brought its first part.
OPEN = "all tabs are open"


class Tab(asyncio.Protocol):
    """One stream; what comes is counted and thrown away."""

    def __init__(self, request: bytes, opened: "asyncio.Queue[str]") -> None:
        self._request = request
        self._opened = opened
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._is_open:
            self._is_open = True
            self._opened.put_nowait(data[9:12].decode("latin-1"))


async def watch(port: int, cookie: str, paths: list[str]) -> None:
    """Opens all streams, prints that, and stays until it is ended."""
    loop, opened = asyncio.get_running_loop(), asyncio.Queue[str]()
    for path in paths:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Cookie: {cookie}", "", ""]
        request = "\r\n".join(lines).encode()
        await loop.create_connection(lambda request=request: Tab(request, opened), "127.0.0.1", port)  # type: ignore[misc]
    for _ in paths:
        if (status := await opened.get()) != "200":
            sys.exit(f"a stream answered {status}")
    print(OPEN, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(watch(int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])))
