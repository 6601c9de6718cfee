"""Scripts, notebooks, routes and views start runs without any export."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import Process, base_command, clean_environment
from support.rabbitmq import virtual_host

pytestmark = [pytest.mark.servers, pytest.mark.slow]

_START_S = 120.0

_TASKS = """
from mousetrap.handlers import chain, task


@task
def split(text: str) -> list[str]:
    return text.split()


@task
def count(words: list[str]) -> dict[str, int]:
    return {word: words.count(word) for word in words}


wordcount = chain("wordcount", split, count)
"""

SCRIPT = """
from mousetrap.client import Client
from words import wordcount

with Client() as client:
    print(client.submit(wordcount, "a b a").wait(timeout=60))
"""

#: A notebook runs each cell in its own event loop, which is running then.
NOTEBOOK = """
import ast
import asyncio
import inspect

CELLS = [
    "from mousetrap.client import AsyncClient, Client; from words import wordcount",
    "client = Client(); run = client.submit(wordcount, 'a b a')",
    "print(run.wait(timeout=60))",
    "asynchronous = AsyncClient(); again = await asynchronous.submit('wordcount', 'a b a')",
    "assert await again.wait(timeout=60) == {'a': 2, 'b': 1}; await asynchronous.close()",
]


async def run_all():
    names = {}
    for cell in CELLS:
        code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if inspect.isawaitable(waiting := eval(code, names)):
            await waiting


asyncio.run(run_all())
"""

FASTAPI = """
import warnings
from contextlib import asynccontextmanager

warnings.simplefilter("ignore")  # the framework's test client names a successor of its own

from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.testclient import TestClient

from mousetrap.client import AsyncClient, Client
from words import wordcount


@asynccontextmanager
async def lifespan(app):
    async with AsyncClient() as app.state.runs:
        yield


app = FastAPI(lifespan=lifespan)
blocking = Client()


@app.post("/count")
async def count(text: str, request: Request):
    run = await request.app.state.runs.submit(wordcount, text)
    return await run.wait(timeout=60)


@app.post("/count-in-a-thread")
def count_in_a_thread(text: str):
    return blocking.submit(wordcount, text).wait(timeout=60)


@app.post("/later")
async def later(text: str, request: Request, after_response: BackgroundTasks):
    after_response.add_task(request.app.state.runs.submit, wordcount, text, id="after-the-response")
    return {"run": "after-the-response"}


with TestClient(app) as web:
    print(web.post("/count", params={"text": "a b a"}).json())
    assert web.post("/count-in-a-thread", params={"text": "b"}).json() == {"b": 1}
    run = blocking.run(web.post("/later", params={"text": "c"}).json()["run"], wordcount)
    assert run.wait(timeout=60) == {"c": 1}
"""

#: As Django's development server does: a thread for each request, no event loop, a client that all views share.
WSGI = """
import json
import threading
import urllib.request
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from mousetrap.client import Client
from words import wordcount

client = Client()


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def view(environ, start_response):
    run = client.submit(wordcount, environ["QUERY_STRING"].replace("+", " "))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(run.wait(timeout=60)).encode()]


with make_server("127.0.0.1", 0, view, Server, Quiet) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def ask(text):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/?{text}") as response:
            answers.append(json.load(response))

    answers = []
    callers = [threading.Thread(target=ask, args=["a+b+a"]) for _ in range(8)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert answers == 8 * [answers[0]]
    print(answers[0])
    server.shutdown()
"""


@pytest.fixture(scope="module", params=["embedded", "rabbitmq"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a stack of `mousetrap up`, with the tasks that it serves: its environment alone names the broker."""
    place = tmp_path_factory.mktemp(request.param)
    (place / "words.py").write_text(_TASKS)
    if request.param == "embedded":
        yield from _stack_in(place)
        return
    with virtual_host(request.getfixturevalue("rabbitmq")) as url:
        yield from _stack_in(place, MOUSETRAP_BROKER_URL=url)


def _stack_in(place: Path, **settings: str) -> Iterator[Path]:
    environment = clean_environment(MOUSETRAP_API_PORT="0", **settings)
    with Process(base_command("cli", "up", "words.py"), environment, place) as stack:
        stack.wait_for_line("The API is at", seconds=_START_S)
        yield place
        assert stack.terminate(seconds=60) == 0, stack.output


@pytest.mark.parametrize(
    "program", [SCRIPT, NOTEBOOK, FASTAPI, WSGI], ids=["script", "notebook", "fastapi", "wsgi"]
)
def test_a_run_is_started_and_its_result_waited_for(folder: Path, program: str) -> None:
    file = folder / "program.py"
    file.write_text(program)
    with Process([sys.executable, str(file)], clean_environment(), folder) as started:
        code = started.wait(seconds=_START_S)

        assert (code, started.lines[-1]) == (0, "{'a': 2, 'b': 1}"), started.output
        assert len(started.lines) == 1, started.output  # no warning, and no traceback at its end
