"""Repairs dead letters through the pages, over a real API."""

import re
from collections.abc import Callable
from html import escape
from urllib.parse import urlencode

import httpx
import pytest

from mousetrap.api_keys import new_key
from mousetrap.jobs import Message
from support.dashboard import OWN_FORM
from support.letters import KEYS, QUEUE, UNAVAILABLE, bury, job_of, letter_of, taken
from support.operations import ended

READ, READ_ENTRY = new_key("reader", ["read"], bytes(32))
GROUP = {"queue": QUEUE, "reason": "max-retries", "error": UNAVAILABLE}

Serve = Callable[..., httpx.Client]


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(signing_keys=KEYS)


def hidden(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))


def post(api: httpx.Client, path: str, form: dict[str, str]) -> httpx.Response:
    return api.post(f"/ui{path}", data=form, headers=OWN_FORM)


def test_a_group_is_redriven_from_its_row_and_leads_to_its_operation(
    api: httpx.Client, store_url: str
) -> None:
    bury(store_url, letter_of("r0"), letter_of("r1"), letter_of("r2", reason="contract"))
    opener = f"/ui/dead/redrive?{urlencode(GROUP)}"
    assert f'href="{escape(opener)}"' in api.get("/ui/dead").text
    form = hidden(api.get(opener).text)

    answers = [
        post(api, "/dead/redrive", {**form, "rate": "100", "why": "the feed is back"}) for _ in range(2)
    ]

    at = answers[0].headers["location"]
    assert answers[1].headers["location"] == at, "a form that is sent twice begins one operation"
    operation = ended(api, httpx.Response(202, headers={"Location": at.removeprefix("/ui")}))
    assert (operation["done"], operation["reason"]) == (2, "the feed is back")
    assert "the feed is back" in api.get(at).text
    assert len(taken(store_url, 2)) == 2
    assert [it["run_id"] for it in api.get("/dead").json()["letters"]] == ["r2"]


def test_a_letter_is_edited_and_its_contract_is_kept(api: httpx.Client, store_url: str) -> None:
    bury(store_url, letter_of("r0"))
    path = f"/dead/{QUEUE}/{job_of('r0').id}"
    assert "FeedRequest" in api.get(f"/ui{path}/edit").text

    def edit(text: str) -> httpx.Response:
        (seen,) = re.findall(r'name="seen" value="(\w+)"', post(api, f"{path}/edit", {"input": text}).text)
        return post(api, f"{path}/edit", {"input": text, "seen": seen})

    refused, done = edit('{"url": 7}'), edit('{"url": "https://example.org/other"}')

    assert refused.status_code == 422
    assert "$.url" in refused.text and "{&#34;url&#34;: 7}" in refused.text
    assert (done.status_code, done.headers["location"]) == (303, "/ui/runs/r0")
    (message,) = taken(store_url, 1)
    assert b"https://example.org/other" in message.body


def test_a_foreign_letter_is_shown_and_only_discarded(api: httpx.Client, store_url: str) -> None:
    bury(store_url, Message("m1", b"<script>nothing</script>", {"mousetrap-reason": "undecodable"}))
    text = api.get(f"/ui/dead/{QUEUE}/m1").text
    assert "&lt;script&gt;nothing" in text and "No key of ours" in text

    post(api, f"/dead/{QUEUE}/m1/discard", {"why": "spam"})

    assert api.get(f"/ui/dead/{QUEUE}/m1").status_code == 404
    assert "There is no dead letter" in api.get("/ui/dead").text


def test_letters_are_exported_by_who_is_signed_in(serve: Serve, store_url: str) -> None:
    api = serve(signing_keys=KEYS, api_keys=READ_ENTRY)
    bury(store_url, letter_of("r0"), letter_of("r1", reason="contract"))
    post(api, "/sign-in", {"key": READ, "back": "/ui/"})

    response = api.get("/ui/dead/export", params=GROUP)

    assert response.json()["message_id"] == job_of("r0").id


def test_who_may_only_read_sees_no_button_and_is_refused(serve: Serve, store_url: str) -> None:
    api = serve(signing_keys=KEYS, api_keys=READ_ENTRY)
    bury(store_url, letter_of("r0"))
    post(api, "/sign-in", {"key": READ, "back": "/ui/"})
    one = f"/dead/{QUEUE}/{job_of('r0').id}"
    asks_first = ("/dead/redrive", "/dead/discard", f"{one}/edit", f"{one}/discard")

    for path in ("/dead", one, "/operations", *asks_first):
        page = api.get(f"/ui{path}", params={"queue": QUEUE})
        assert page.status_code == (403 if path in asks_first else 200), path
        buttons = re.findall(
            r"<button[^>]*>\s*(Redrive|Discard|Edit)|class=\"button [^\"]*\" href=\"[^\"]*/(?:redrive|discard|edit)",
            page.text,
        )
        assert not buttons, path
    acts = (
        "/dead/redrive",
        "/dead/discard",
        f"{one}/redrive",
        f"{one}/discard",
        f"/operations/{'0' * 32}/stop",
    )
    for path in acts:
        assert post(api, path, {"queue": QUEUE}).status_code == 403, path
    assert post(api, f"{one}/edit", {"input": "{}"}).status_code == 403
