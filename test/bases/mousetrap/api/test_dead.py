"""Dead letters are shown, redriven, edited, discarded and exported over HTTP."""

import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from mousetrap.api_keys import new_key
from mousetrap.jobs import Message, decode, encode
from support.letters import KEYRING, KEYS, QUEUE, UNAVAILABLE, bury, check, job_of, letter_of, redriven, taken
from support.operations import ended
from support.ports import closed_port
from support.waiting import until

Serve = Callable[..., httpx.Client]


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(signing_keys=KEYS)


def test_letters_are_listed_newest_first_without_what_they_carry(api: httpx.Client, store_url: str) -> None:
    bury(store_url, *(letter_of(f"r{number}", at_ms=number) for number in range(5)))

    page = api.get("/dead", params={"limit": 2}).json()

    assert [letter["run_id"] for letter in page["letters"]] == ["r4", "r3"]
    assert (page["matched"], page["seen"], page["unseen"]) == (5, 5, 0)
    assert page["letters"][0] == {
        "id": job_of("r4").id, "queue": QUEUE, "reason": "max-retries", "error_kind": UNAVAILABLE,
        "error": "the feed answers 503", "attempts": 5, "worker": "w1", "at_ms": 4, "run_id": "r4",
        "pipeline": "earthquakes", "stage": "fetch", "generation": 0, "believed": True, "tags": [],
    }  # fmt: skip


def test_a_list_has_the_tags_of_the_runs_that_are_ours(api: httpx.Client, store_url: str) -> None:
    started = api.post("/pipelines/earthquakes/runs", params={"tags": ["nightly", "jp"]}).json()["run_id"]
    forged = letter_of(started, at_ms=1)
    headers = {**forged.headers, "mousetrap-signature": "v1.k1.AAAA"}
    bury(
        store_url, Message("m1", forged.body, headers), letter_of(started, at_ms=2), letter_of("r9", at_ms=3)
    )

    letters = api.get("/dead").json()["letters"]

    assert [it["tags"] for it in letters] == [[], ["nightly", "jp"], []]


def test_a_part_of_the_text_selects_letters_of_a_group(api: httpx.Client, store_url: str) -> None:
    texts = ("Nordwind answers 503", "Ito answers 503", "nordwind is closed")
    bury(store_url, *(letter_of(f"r{place}", at_ms=place, error=text) for place, text in enumerate(texts)))

    operation = ended(api, api.post("/dead/redrive", json={"text": "NORDWIND"}))

    assert (operation["matched"], operation["done"]) == (2, 2)
    assert [it["run_id"] for it in api.get("/dead").json()["letters"]] == ["r1"]


def test_a_note_on_a_group_is_shown_with_it_and_is_on_the_trail(api: httpx.Client, store_url: str) -> None:
    bury(store_url, letter_of("r0"), letter_of("r1", reason="contract"))
    group = {"queue": QUEUE, "reason": "max-retries", "error": UNAVAILABLE}

    answer = api.put("/dead/notes", json={**group, "text": " Größe: ticket 81 "})

    assert (answer.status_code, answer.content) == (204, b"")
    groups = api.get("/dead/groups").json()["groups"]
    noted = {it["reason"]: it["note"] for it in groups}
    assert noted["contract"] is None
    assert (noted["max-retries"]["text"], noted["max-retries"]["who"]) == ("Größe: ticket 81", "loopback")
    (entry,) = until(lambda: api.get("/audit?act=note").json()["entries"], "the act is on the trail")
    assert entry["what"] == {**group, "text": "Größe: ticket 81"}

    api.put("/dead/notes", json={**group, "text": ""})
    assert [it["note"] for it in api.get("/dead/groups").json()["groups"]] == [None, None]
    check(api.put("/dead/notes", json={**group, "text": "x" * 1_001}), 422, "invalid-request")


def test_without_letters_a_list_is_empty(api: httpx.Client) -> None:
    assert api.get("/dead").json() == {"letters": [], "matched": 0, "seen": 0, "unseen": 0}
    assert api.get("/dead/groups").json() == {"groups": [], "seen": 0, "unseen": 0}
    assert api.get("/dead/export").text == ""


@pytest.mark.parametrize(
    ("filters", "runs"),
    [
        ({"reason": "contract"}, ["r1"]),
        ({"error": "FeedUnavailable"}, ["r0"]),
        ({"run": "r0"}, ["r0"]),
        ({"ids": [job_of("r1").id, job_of("r2").id]}, ["r1"]),
        ({"queue": QUEUE}, ["r1", "r0"]),
        ({"queue": "data_processing"}, []),
        ({"stage": "process"}, []),
        ({"before_ms": 1001}, ["r0"]),
        ({"after_ms": 1001}, ["r1"]),
    ],
)
def test_a_list_shows_what_the_filters_fit(
    api: httpx.Client, store_url: str, filters: Any, runs: list[str]
) -> None:
    bury(
        store_url,
        letter_of("r0", at_ms=1000),
        letter_of("r1", at_ms=2000, reason="contract", **{"error-type": "ContractBroken"}),
    )

    page = api.get("/dead", params=filters).json()

    assert [letter["run_id"] for letter in page["letters"]] == runs
    assert (page["matched"], api.get("/dead").json()["matched"]) == (len(runs), 2)


def test_letters_are_grouped_by_what_went_wrong(api: httpx.Client, store_url: str) -> None:
    bury(
        store_url,
        letter_of("r0", at_ms=5, reason="contract"),
        *(letter_of(f"r{number}", at_ms=number) for number in (1, 2, 3)),
    )

    groups = api.get("/dead/groups").json()["groups"]

    shown = [(it["reason"], it["count"], it["oldest_ms"], it["newest_ms"]) for it in groups]
    assert shown == [("max-retries", 3, 1, 3), ("contract", 1, 5, 5)]
    assert groups[0]["example"]["run_id"] == "r3"


def test_the_page_of_a_letter_shows_its_story(api: httpx.Client, store_url: str, worker: Any) -> None:
    run_id = api.post("/pipelines/earthquakes/runs").json()["run_id"]
    worker.fail(run_id, "the feed has no features")
    bury(store_url, letter_of(run_id))

    letter = api.get(f"/dead/{QUEUE}/{job_of(run_id).id}").json()

    assert letter["traceback"] == "Traceback: in fetch"
    assert letter["payload"] == {"url": "https://example.org/feed"}
    assert letter["body"] is None
    assert (letter["run"]["id"], letter["run"]["state"]) == (run_id, "failed")
    assert "gave_up" in [event["kind"] for event in letter["run"]["timeline"]]


def test_the_page_of_a_message_that_is_not_ours_shows_it_and_no_run(
    api: httpx.Client, store_url: str
) -> None:
    run_id = api.post("/pipelines/earthquakes/runs").json()["run_id"]
    forged = letter_of(run_id)
    headers = {**forged.headers, "mousetrap-signature": "v1.k1.AAAA", "mousetrap-reason": "signature"}
    bury(store_url, Message("../../a b", b"\xffnothing", {}), Message(forged.id, forged.body, headers))

    lines = {letter["reason"]: letter for letter in api.get("/dead").json()["letters"]}
    pages = {reason: api.get(f"/dead/{QUEUE}/{line['id']}").json() for reason, line in lines.items()}

    assert pages["unknown"]["body"] == "\ufffdnothing"
    assert pages["signature"]["body"] == forged.body.decode()
    for page in pages.values():
        assert (page["believed"], page["payload"], page["run"]) == (False, None, None)


@pytest.mark.parametrize("payload", [b'{"url": NaN}', b"{} and more", b"\xff"])
def test_the_page_of_a_letter_whose_payload_is_no_json_gives_the_reason(
    api: httpx.Client, store_url: str, payload: bytes
) -> None:
    """Its message is a job of format 5, and only its contract looks at what is beside the head."""
    job = msgspec.structs.replace(job_of("r1"), v=5, payload=msgspec.Raw(payload))
    body = encode(job)
    headers = {"mousetrap-reason": "contract", **KEYRING.headers(body)}
    bury(store_url, Message(job.id, body, headers))

    letter = api.get(f"/dead/{QUEUE}/{job.id}").json()

    assert letter["payload"] is None
    assert letter["payload_error"].startswith("it cannot be shown as JSON: ")
    assert "and more" not in letter["payload_error"]


def test_a_letter_or_a_queue_that_is_not_there_is_a_problem(api: httpx.Client, store_url: str) -> None:
    bury(store_url, letter_of("r1"))

    for method, path in (("GET", ""), ("POST", "/redrive")):
        check(api.request(method, f"/dead/{QUEUE}/unknown{path}"), 404, "unknown-letter")
        detail = check(api.request(method, f"/dead/nothing/{job_of('r1').id}{path}"), 404, "unknown-queue")
        assert QUEUE in detail
    assert api.get("/dead").json()["matched"] == 1


def test_what_is_selected_is_redriven_and_the_rest_stays(api: httpx.Client, store_url: str) -> None:
    bury(
        store_url,
        *(letter_of(f"r{number}", at_ms=number) for number in range(3)),
        letter_of("o", reason="contract"),
    )

    done = redriven(api, {"reason": "max-retries", "limit": 2, "rate": 1000})

    assert {"matched": 2, "done": 2, "stale": 0, "failed": 0, "left": 0, "unseen": 0}.items() <= done.items()
    assert {letter["run_id"] for letter in api.get("/dead").json()["letters"]} == {"r2", "o"}
    jobs = [decode(message.body) for message in taken(store_url, 2)]
    assert {(job.run_id, job.generation, job.attempt) for job in jobs} == {("r0", 1, 1), ("r1", 1, 1)}
    assert api.get("/runs/r0").json()["state"] == "queued"


def test_letters_are_discarded_by_their_ids(api: httpx.Client, store_url: str) -> None:
    bury(store_url, letter_of("r0"), letter_of("r1"))

    answer = api.post("/dead/discard", json={"ids": [job_of("r0").id]})

    assert answer.json() == {"matched": 1, "discarded": 1, "left": 0, "unseen": 0}
    assert [letter["run_id"] for letter in api.get("/dead").json()["letters"]] == ["r1"]


@pytest.mark.parametrize("path", ["/dead/redrive", "/dead/discard"])
@pytest.mark.parametrize("filters", [None, {}, {"limit": 5}, {"ids": []}, {"all": False}])
def test_selecting_all_letters_takes_an_option(
    api: httpx.Client, store_url: str, path: str, filters: Any
) -> None:
    bury(store_url, letter_of("r0"))

    answer = api.post(path, json=filters) if filters is not None else api.post(path)

    assert '{"all": true}' in check(answer, 422, "nothing-selected")
    assert api.get("/dead").json()["matched"] == 1
    acting = api.post(path, json={"all": True})
    assert (ended(api, acting) if acting.status_code == 202 else acting.json())["left"] == 0
    assert api.get("/dead").json()["matched"] == 0


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"al": true}', "body.al"),
        (b'{"all": 1}', "body.all"),
        (b'{"all": true, "limit": "5"}', "body.limit"),
        (b'{"all": true, "limit": 0}', "body.limit"),
        (b'{"all": true, "limit": 100001}', "body.limit"),
        (b'{"all": true, "rate": 0}', "body.rate"),
        (b'{"all": true, "rate": NaN}', "body.rate"),
        (b'{"run": "\\ud800"}', "body"),
        (b'{"run": ' + b"[" * 100_000, "body"),
    ],
)
def test_a_filter_that_makes_no_sense_does_nothing(
    api: httpx.Client, store_url: str, body: bytes, where: str
) -> None:
    bury(store_url, letter_of("r0"))

    answer = api.post("/dead/redrive", content=body)

    check(answer, 422, "invalid-request")
    assert answer.json()["where"] == where
    assert api.get("/dead").json()["matched"] == 1


def test_one_letter_is_redriven_as_it_is_or_with_another_input(api: httpx.Client, store_url: str) -> None:
    bury(store_url, letter_of("r0"), letter_of("r1"))
    first, second = (f"/dead/{QUEUE}/{job_of(run_id).id}/redrive" for run_id in ("r0", "r1"))

    broken = api.post(second, json={"input": {"url": 1}})
    answers = [api.post(first), api.post(second, json={"input": {"url": "https://example.org/repaired"}})]

    check(broken, 422, "contract-broken")
    for answer in answers:
        assert answer.json() == {"matched": 1, "redriven": 1, "stale": 0, "left": 0, "unseen": 0}
    payloads = {job.run_id: bytes(job.payload) for job in (decode(it.body) for it in taken(store_url, 2))}
    assert payloads["r0"] == bytes(job_of("r0").payload)
    assert json.loads(payloads["r1"]) == {"url": "https://example.org/repaired"}


def test_a_letter_that_is_not_ours_cannot_be_edited(api: httpx.Client, store_url: str) -> None:
    bury(store_url, Message("m1", b"nothing", {}))

    check(api.post(f"/dead/{QUEUE}/m1/redrive", json={"input": {}}), 409, "not-editable")

    assert api.get("/dead").json()["matched"] == 1


@pytest.mark.parametrize("body", [b"{", b'{"inputs": 1}', b'{"input": "\\ud800"}', b'{"input": NaN}'])
def test_an_edit_that_makes_no_sense_does_nothing(api: httpx.Client, store_url: str, body: bytes) -> None:
    bury(store_url, letter_of("r0"))

    answer = api.post(f"/dead/{QUEUE}/{job_of('r0').id}/redrive", content=body)

    check(answer, 422, "invalid-request")
    assert api.get("/dead").json()["matched"] == 1


def test_letters_are_exported_a_line_each_with_all_they_carry(api: httpx.Client, store_url: str) -> None:
    letter = letter_of("r0")
    bury(store_url, letter, Message("m1", b"\xff", {"mousetrap-reason": "undecodable", "mousetrap-at": "2"}))

    answer = api.get("/dead/export")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    chosen = api.get("/dead/export", params={"reason": "undecodable"}).text.splitlines()

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert lines[0] == {
        "id": letter.id, "queue": QUEUE, "at_ms": 1, "believed": True, "message_id": letter.id,
        "headers": dict(letter.headers), "body": letter.body.decode(),
    }  # fmt: skip
    assert lines[1]["body_base64"] == "/w=="
    assert [json.loads(line)["id"] for line in chosen] == ["m1"]
    assert api.get("/dead").json()["matched"] == 2


def test_looking_and_acting_ask_for_a_scope_each(serve: Serve, store_url: str) -> None:
    read, read_entry = new_key("reader", ["read", "run"], bytes(32))
    operate, operate_entry = new_key("operator", ["operate"], bytes(range(32)))
    api = serve(api_keys=f"{read_entry}\n{operate_entry}", signing_keys=KEYS)
    bury(store_url, letter_of("r0"))
    looking = [("GET", path) for path in ("/dead", "/dead/groups", "/dead/export", f"/dead/{QUEUE}/x")]
    acting = [
        *(("POST", path) for path in ("/dead/redrive", "/dead/discard", f"/dead/{QUEUE}/x/redrive")),
        ("DELETE", "/runs/r0"),
        ("POST", "/runs/r0/rerun"),
    ]

    for allowed, key in ((looking, read), (acting, operate)):
        for method, path in looking + acting:
            answer = api.request(method, path, headers={"X-API-Key": key})
            assert (answer.status_code == 403) is ((method, path) not in allowed), (method, path)


@pytest.mark.parametrize("path", ["/dead/redrive", f"/dead/{QUEUE}/x/redrive", "/runs/r0/rerun"])
def test_a_caller_who_may_not_act_is_refused_before_the_body_is_sent(serve: Serve, path: str) -> None:
    _, entry = new_key("reader", ["read"], bytes(32))
    api = serve(api_keys=entry)

    with socket.create_connection((api.base_url.host, api.base_url.port or 80), timeout=60) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n".encode()
        )
        answer = connection.recv(12)

    assert answer == b"HTTP/1.1 401"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/dead", None),
        ("GET", "/dead/groups", None),
        ("GET", "/dead/export", None),
        ("GET", f"/dead/{QUEUE}/x", None),
        ("POST", "/dead/redrive", {"all": True}),
        ("POST", "/dead/discard", {"all": True}),
        ("POST", f"/dead/{QUEUE}/x/redrive", None),
    ],
)
def test_without_the_broker_each_path_reports_it(serve: Serve, method: str, path: str, body: Any) -> None:
    api = serve(broker_url=f"valkey://user:hidden@127.0.0.1:{closed_port()}/0")

    answer = api.request(method, path, json=body)

    check(answer, 503, "broker-away")
    assert answer.json()["away"] == ["broker"]
    assert "hidden" not in answer.text


def test_without_the_store_letters_are_shown_and_none_is_lost(serve: Serve, store_url: str) -> None:
    api = serve(signing_keys=KEYS, store_url=f"valkey://127.0.0.1:{closed_port()}/0")
    bury(store_url, letter_of("r0"))

    page = api.get(f"/dead/{QUEUE}/{job_of('r0').id}").json()
    answer = api.post("/dead/redrive", json={"all": True})

    assert (page["error"], page["run"]) == ("the feed answers 503", None)
    check(answer, 503, "store-away")
    assert api.get("/dead").json()["matched"] == 1


def test_on_rabbitmq_nothing_is_different(serve: Serve, broker_url: str) -> None:
    api = serve(broker_url=broker_url, signing_keys=KEYS)
    bury(broker_url, *(letter_of(f"r{number}", at_ms=number) for number in range(3)))

    listed = [letter["run_id"] for letter in api.get("/dead").json()["letters"]]
    page = api.get(f"/dead/{QUEUE}/{job_of('r1').id}").json()
    done = redriven(api, {"run": "r1"})
    discarded = api.post("/dead/discard", json={"all": True}).json()

    assert listed == ["r2", "r1", "r0"]
    assert page["traceback"] == "Traceback: in fetch"
    assert (done["done"], discarded["discarded"]) == (1, 2)
    (message,) = taken(broker_url, 1)
    assert decode(message.body).run_id == "r1"
    assert api.get("/dead").json()["letters"] == []
