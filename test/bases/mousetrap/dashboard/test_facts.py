"""Checks how a page asks the API, and what it keeps."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from mousetrap.api_keys import Caller
from mousetrap.api_keys import Scope as Allowed
from mousetrap.dashboard import facts as facts_module
from mousetrap.dashboard import json_tree as tree_module
from mousetrap.dashboard.facts import Facts, LastKnown, Refused, Reply
from mousetrap.dashboard.json_tree import Tree, json_tree
from mousetrap.dashboard.pages.run_tabs import _line
from mousetrap.testing import World
from support.dashboard import Answers, Pages

VISITOR = Caller("ada", frozenset(Allowed))
NO_SCOPES = frozenset[str]()


@pytest.mark.parametrize(
    ("page", "asked"),
    [
        ("/runs/a%20b%2525", "GET /runs/a b%25"),
        ("/queues/%C3%A4%20b", "GET /queues/ä b"),
        ("/pipelines/a%3Fb", "GET /pipelines/a?b"),
        ("/operations/a%23b", "GET /operations/a#b"),
        ("/dead/a%20b/c%3Fd", "GET /dead/a b/c?d"),
    ],
)
def test_the_api_is_asked_by_the_decoded_path(pages: Pages, answers: Answers, page: str, asked: str) -> None:
    pages.get(page)

    assert answers.asked[0][0] == asked


def test_an_answer_that_is_larger_than_half_of_what_is_kept_takes_no_place_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(facts_module, "_MOST_BYTES", 100)
    kept = LastKnown()
    small, large = ("/runs", "", NO_SCOPES), ("/runs/1", "", NO_SCOPES)

    kept.keep(small, Reply(200, {}, bytes(40)))
    kept.keep(large, Reply(200, {}, bytes(10)))
    kept.keep(large, Reply(200, {}, bytes(101)))

    assert kept.find(small) is not None
    assert kept.find(large) is None  # what was known before is not true any more


class Silent:
    """An API that stops in the middle of an answer, or before it."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for at, part in enumerate(self._parts):
            if not at:
                await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.Event().wait()


@pytest.mark.parametrize("parts", [(), (b"first line\n",)])
async def test_a_file_ends_where_the_api_sends_nothing_for_too_long(
    world: World, monkeypatch: pytest.MonkeyPatch, parts: tuple[bytes, ...]
) -> None:
    """In simulated time: a busy machine stands still for longer than that."""
    monkeypatch.setattr(facts_module, "_TIMEOUT_S", 0.05)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        await asyncio.sleep(0.1)  # a reader may be as slow as it likes
        sent.append(message)

    async def receive() -> Message:
        raise NotImplementedError

    asking = Facts(Silent(*parts), VISITOR, "", LastKnown())
    with pytest.raises(Refused, match="did not answer"):
        await asyncio.wait_for(asking.pass_on("/dead/export", {}, "letters", receive, send), 60)

    assert b"".join(each.get("body", b"") for each in sent) == b"".join(parts)


def test_a_long_notice_fits_into_a_cookie_and_is_shown(pages: Pages, answers: Answers) -> None:
    problem = {"status": 409, "title": "No", "detail": "\N{SNOWMAN}" * 5_000}
    answers.given |= {"DELETE /runs/r1": (409, problem), "GET /runs": (200, {"runs": [], "next": None})}

    done = pages.post("/runs/cancel", {"run": "r1"})

    assert len(done.headers["set-cookie"]) < 4_000
    assert "0 runs are cancelled. 1 could not be: \N{SNOWMAN}" in pages.get("/runs").text


def test_a_large_text_that_is_shown_again_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    once = tree_module._read

    def noted(raw: bytes) -> Tree:
        read.append(raw)
        return once(raw)

    monkeypatch.setattr(tree_module, "_read", noted)
    large = b'["%s"]' % (b"x" * 200_000)

    trees = [json_tree(large), json_tree(bytes(bytearray(large)))]
    others = [json_tree(b"%d" % number + b" " * 200_000) for number in range(30)]

    assert trees[0] == trees[1] and trees[0].top is not None
    assert [each.top.text for each in others if each.top] == [str(number) for number in range(30)]
    assert len(read) == 31
    assert len(tree_module._kept) <= 20


class Counted(list[Any]):
    """A list that counts which of its values are read."""

    read = 0

    def __iter__(self) -> Any:
        for each in super().__iter__():
            self.read += 1
            yield each


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, ""),
        ("ä" * 500, '"' + "ä" * 159 + "…"),
        ({"a": [1, 2.5, None, True], "b": {}, "c": []}, '{"a": [1, 2.5, null, true], "b": {}, "c": []}'),
    ],
)
def test_one_line_of_a_value_is_its_beginning(value: Any, line: str) -> None:
    assert _line(value) == line


def test_for_one_line_no_more_of_a_value_is_read_than_is_shown() -> None:
    nested: Any = 1
    for _ in range(100_000):
        nested = [nested]
    many = Counted(range(100_000))

    assert _line(many).endswith("…") and many.read < 200
    assert _line(nested) == "[" * 160 + "…"
