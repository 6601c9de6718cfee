"""Runs the shop of the page on FastAPI, and kills its programs."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from support.ports import free_ports
from support.postgres import PostgresServer
from support.processes import Process, clean_environment
from support.waiting import until

pytestmark = pytest.mark.servers

_PAGE = Path(__file__).parents[2] / "docs/fastapi.md"
_LEFT_OUT = ["-p", "no:cacheprovider", "-p", "no:cloudcoil", "-p", "no:schemathesis"]


class Bank(BaseHTTPRequestHandler):
    """Charges once for each key, sends mails likewise, and can refuse."""

    refuses = False
    #: What was done, by path and key.
    done: dict[tuple[str, str], Any]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refused = self.refuses or (
            self.path == "/charges" and self.headers["Authorization"] != "Bearer a-key"
        )
        if not refused:
            self.done.setdefault((self.path, self.headers["Idempotency-Key"]), body)
        answer = b"no money" if refused else b'{"receipt": "r"}'
        self.send_response(402 if refused else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def open_bank(port: int) -> Iterator[type[Bank]]:
    """A bank at a port of its own."""
    bank = type("ThisBank", (Bank,), {"done": {}})
    server = ThreadingHTTPServer(("127.0.0.1", port), bank)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield bank
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Shop:
    """The page's programs, in one folder."""

    def __init__(self, folder: Path, url: str, bank_port: int) -> None:
        self._folder = folder
        self._started: list[Process] = []
        (folder / "bank.key").write_text("a-key\n")
        bank = f"http://127.0.0.1:{bank_port}"
        (self._port,) = free_ports(1)
        self.web = f"http://127.0.0.1:{self._port}"
        self.settings = {
            "SHOP_DATABASE_URL": url.replace("postgresql:", "postgresql+psycopg:"),
            "MOUSETRAP_OUTBOX_URL": url,
            "SHOP_BANK_URL": bank,
            "SHOP_POST_URL": bank,
            "SHOP_BANK_KEY_FILE": "bank.key",
            "MOUSETRAP_API_PORT": "0",
        }

    def start(self, *command: str) -> Process:
        environ = clean_environment(**self.settings)
        self._started.append(Process([sys.executable, *command], environ, self._folder))
        return self._started[-1]

    def start_api(self) -> Process:
        api = self.start("-m", "uvicorn", "api:app", "--port", str(self._port))
        api.wait_for_line("Application startup complete", 60)
        return api

    def order(self) -> int:
        answer = httpx.post(f"{self.web}/orders", json={"customer": "ann", "cents": 500}, timeout=30)
        assert answer.status_code == 202, answer.text
        return int(answer.json()["order"])

    def state(self, order: int) -> str:
        return str(httpx.get(f"{self.web}/orders/{order}", timeout=30).json().get("state"))

    def end(self) -> None:
        for process in reversed(self._started):
            process.kill()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The folder with the page's files."""
    for block in re.findall(r"^```python\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL):
        name = block.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(block)
    assert {path.name for path in tmp_path.glob("*.py")} == {"tables.py", "jobs.py", "api.py", "test_shop.py"}
    return tmp_path


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_shop_s_own_tests_pass(files: Path, database_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "mousetrap.testing.plugin", *_LEFT_OUT, "test_shop.py"],
        check=False,
        cwd=files,
        env=clean_environment(SHOP_DATABASE_URL=database_url.replace("postgresql:", "postgresql+psycopg:")),
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


@pytest.mark.long
def test_no_order_is_lost_and_each_is_charged_once_whatever_is_killed(
    files: Path, postgres: PostgresServer
) -> None:
    url = postgres.make_database(f"shop_{uuid4().hex[:12]}")
    (bank_port,) = free_ports(1)
    shop = Shop(files, url, bank_port)
    try:
        tables = shop.start("tables.py")
        assert tables.wait() == 0
        stack = shop.start("-m", "mousetrap.cli", "up")
        stack.wait_for_line("The API is at", 120)
        worker = shop.start("-m", "mousetrap.cli", "worker", "jobs.py")
        worker.wait_for_line("serving charges, mails, payments", 60)
        api = shop.start_api()
        orders = [shop.order()]
        assert shop.state(orders[0]) == "accepted"  # no relay runs
        relay = shop.start("-m", "mousetrap.cli", "outbox")
        until(lambda: shop.state(orders[0]) == "retrying", "the bank is missed", 60)

        with open_bank(bank_port) as bank:
            orders += [shop.order() for _ in range(3)]
            worker.kill()
            relay.kill()
            orders.append(shop.order())
            api.kill()
            postgres.stop()
            worker = shop.start("-m", "mousetrap.cli", "worker", "jobs.py")
            relay = shop.start("-m", "mousetrap.cli", "outbox")
            relay.wait_for_line("waiting for the outbox's database", 60)
            postgres.start()
            shop.start_api()
            orders.append(shop.order())
            until(
                lambda: all(shop.state(order) == "completed" for order in orders), "all orders are done", 120
            )

            charged = [body["reference"] for (path, _), body in bank.done.items() if path == "/charges"]
            assert sorted(charged) == sorted(f"order {order}" for order in orders)
            assert sum(path == "/mails" for path, _ in bank.done) == len(orders)

            bank.refuses = True
            refused = shop.order()
            until(lambda: shop.state(refused) == "failed", "the card is refused", 60)
            bank.refuses = False
            redrive = shop.start("-m", "mousetrap.cli", "dead", "redrive", "--error", "CardRefused")
            assert redrive.wait() == 0, redrive.output
            until(lambda: shop.state(refused) == "completed", "the order is done after its redrive", 60)
        assert stack.terminate(60) == 0
        away = httpx.get(f"{shop.web}/orders/{refused}", timeout=30)
        assert (away.status_code, away.headers["Retry-After"]) == (503, "2")
        assert shop.order() > refused  # it waits in PostgreSQL
    finally:
        shop.end()
        postgres.drop_database(url.rpartition("/")[2])
