"""Describes the machine and its servers."""

import os
import platform
import re
import subprocess
from ctypes.util import find_library
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from redis import Redis

from benchmarks.contenders import CONTENDERS, HERE
from support.valkey import administrator


def describe(broker: str, api: str, store: str) -> dict[str, str]:
    """Name and text of each thing; two addresses of the broker and one of the store."""
    overview = ask_broker(broker, api, "/api/overview")
    with Redis.from_url(administrator(store)) as client:
        server = client.info("server")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "host": f"{os.cpu_count()} cores ({_cpu()}), {_memory()} GiB, Linux {_kernel()}",
        "load before": f"{os.getloadavg()[0]:.2f} (1 minute); during the rounds: at the end of each section",
        "Python": platform.python_version(),
        "broker": f"RabbitMQ {overview['rabbitmq_version']} on Erlang {overview['erlang_version']}, one node",
        "store": f"Valkey {server.get('valkey_version', server['redis_version'])}, appendfsync always, allocating with "
        + ("jemalloc" if find_library("jemalloc") else "the C library"),
        "Mousetrap": f"commit {_commit()}",
        "peers": ", ".join(_versions()),
    }


def ask_broker(broker: str, api: str, path: str) -> Any:
    """An answer of the management plugin. Raises httpx.HTTPError."""
    parts = urlsplit(broker)
    login = (parts.username or "guest", parts.password or "guest")
    return httpx.get(api + path, auth=login, timeout=20).raise_for_status().json()


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found[1] if found else platform.machine()


def _kernel() -> str:
    return ".".join(platform.release().split(".")[:2])


def _memory() -> int:
    found = re.search(r"^MemTotal:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return round(int(found[1]) / 1024**2) if found else 0


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def _commit() -> str:
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip() or "unknown"


def _versions() -> list[str]:
    """What each peer's environment is asked to be."""
    peers = dict.fromkeys(contender.peer for contender in CONTENDERS if contender.peer)
    return [
        line for peer in peers for line in (HERE / "peers" / peer / "requirements.in").read_text().split()
    ]
