"""Runs the code of pages that take something for granted."""

import ast
import asyncio
import importlib
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Session

from mousetrap.handlers import task
from mousetrap.outbox import count_rows, create_table
from mousetrap.run_store import RunFilter, open_store
from mousetrap.settings import Settings
from support.client_worker import served
from support.page_code import run_blocks
from support.published import a_pipeline, beat

_ROOT = Path(__file__).parents[2]
#: The page on the weather has excerpts, which its own test compares.
_PAGES = [
    _ROOT / "README.md",
    *sorted(set((_ROOT / "docs").glob("*.md")) - {_ROOT / "docs/weather.md"}),
]


class Base(DeclarativeBase):
    """Of the caller's tables."""


class Order(Base):
    """A row of the caller's."""

    __tablename__ = "orders"
    number = Column(Integer, primary_key=True)
    customer = Column(String)


@task
def ship(customer: str) -> str:
    return customer


def test_the_outbox_page_writes_a_row_with_the_order_and_calls_after_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    Base.metadata.create_all(engine)
    create_table(engine, "mousetrap_outbox")
    submitted: list[Any] = []
    client = type("Client", (), {"submit": lambda _self, *given: submitted.append(given)})()
    session = Session(engine)
    given = {
        "engine": engine,
        "order": Order(number=1, customer="a"),
        "order_of_ship": "a",
        "ship": ship,
        "client": client,
    }

    def begin(number: int, names: dict[str, Any]) -> None:
        if number == 1:  # the first block has a session of its own by that name, which is closed by then
            session.add(Order(number=2, customer="b"))
            names["session"] = session

    run_blocks(_ROOT / "docs/outbox.md", monkeypatch, given, begin)
    assert submitted == []
    session.commit()

    assert count_rows(engine, "mousetrap_outbox").waiting == 1
    assert submitted == [(ship, "a")]
    session.close()
    engine.dispose()


@pytest.mark.servers
def test_the_page_on_payloads_sends_a_film_and_opens_the_result(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(broker_url=store_url, store_url=store_url, signing_keys="test:a-secret-for-the-tests")
    for name in ("broker_url", "store_url", "signing_keys"):
        monkeypatch.setenv(f"MOUSETRAP_{name.upper()}", getattr(settings, name))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.mp4").write_bytes(b"a film" * 20_000)
    with ExitStack() as opened:

        def serve(number: int, names: dict[str, Any]) -> None:
            if number == 1:
                opened.enter_context(served(settings, names["shrink"].binding))

        assert run_blocks(_ROOT / "docs/payloads.md", monkeypatch, None, serve) == 2


def test_the_page_on_schedules_declares_them(monkeypatch: pytest.MonkeyPatch) -> None:
    declared: list[Any] = []

    def note(_number: int, names: dict[str, Any]) -> None:
        declared.append(names.get("SCHEDULES"))

    assert run_blocks(_ROOT / "docs/schedules.md", monkeypatch, {"Sequence": Sequence}, note) >= 2

    assert [schedule.name for schedule in declared[1]] == ["nightly", "often"]


@pytest.mark.servers
async def test_the_page_on_priorities_submits_with_them(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOUSETRAP_BROKER_URL", store_url)
    monkeypatch.setenv("MOUSETRAP_STORE_URL", store_url)
    monkeypatch.setenv("MOUSETRAP_SIGNING_KEYS", "off")
    await beat(store_url, "w", a_pipeline("wordcount"))

    assert await asyncio.to_thread(run_blocks, _ROOT / "docs/priorities.md", monkeypatch) == 1

    async with open_store(store_url, retention=60) as store:
        page = await store.page(RunFilter(pipeline="wordcount"), limit=10)
        runs = [await store.get(listed.id) for listed in page.runs]
    assert sorted(run.priority for run in runs if run) == [0, 0, 9]


def test_the_page_on_settings_declares_a_group() -> None:
    names: dict[str, Any] = {}
    text = (_ROOT / "docs/settings.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    taken = "from mousetrap.handlers import Binding\nfrom mousetrap.settings import Group, Settings, SettingsGroup, check_address\n"

    exec(compile(taken + block, "docs/settings.md", "exec"), names)  # noqa: S102  our own page

    environ = {"MOUSETRAP_MAIL_SERVER_URL": "smtp://mail.example"}
    assert (
        Settings.from_environ(environ, [names["MAIL"]]).of(names["MAIL"]).server_url == "smtp://mail.example"
    )


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_what_each_block_imports_of_ours_is_there(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    imported = [
        (node.module or "", name.name)
        for block in blocks
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mousetrap.")
        for name in node.names
    ]

    # What `mousetrap new` writes is not in this checkout.
    missing = [each for each in imported if not each[0].startswith(("mousetrap.words", "mousetrap.papers"))]
    assert [f"{at}: {name}" for at, name in missing if not hasattr(importlib.import_module(at), name)] == []
