"""People sign in with a key, and sign out again."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from mousetrap.api_keys import new_key
from mousetrap.dashboard.gate import own_page
from support.dashboard import OWN_FORM
from support.waiting import until

READ, READ_ENTRY = new_key("reader", ["read"], bytes(32))
OPS, OPS_ENTRY = new_key("ops", ["read", "run", "operate"], bytes(range(32)))
RUN, RUN_ENTRY = new_key("starter", ["run"], bytes(range(1, 33)))
_, REPLACED = new_key("ops", ["read", "run", "operate"], bytes(range(2, 34)))
ENTRIES = f"{READ_ENTRY}\n{OPS_ENTRY}\n{RUN_ENTRY}"
PROXY = {"trusted_proxies": "127.0.0.1"}
#: What a browser sends where a link of another site was followed.
FOLLOWED = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}

Serve = Callable[..., httpx.Client]


def sign_in(api: httpx.Client, key: str = OPS, back: str = "/ui/workers", **headers: str) -> httpx.Response:
    form, headers = {"key": key, "back": back}, {**OWN_FORM, **headers}

    def ask() -> httpx.Response | None:
        """None while the store of a busy machine is too slow for it."""
        answer = api.post("/ui/sign-in", data=form, headers=headers)
        return None if answer.status_code == 503 else answer

    return until(ask, "it is answered")


def sign_out(api: httpx.Client) -> httpx.Response:
    return api.post("/ui/sign-out", headers=OWN_FORM)


def test_who_is_not_signed_in_signs_in_and_gets_the_page_asked_for(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES)

    asked = api.get("/ui/workers?state=a%26b")
    form = api.get(asked.headers["location"])
    (back,) = re.findall(r'name="back" value="([^"]+)"', form.text)
    signed = sign_in(api, back=back)
    page = api.get(signed.headers["location"])

    assert asked.status_code == signed.status_code == 303
    assert back == "/ui/workers?state=a%26b" == signed.headers["location"]
    assert 'autocomplete="current-password"' in form.text
    assert page.status_code == 200
    assert "ops" in page.text and "Sign out" in page.text
    assert api.get("/ui/sign-in?back=/ui/workers").headers["location"] == "/ui/workers"


def test_nothing_is_shown_or_changed_before(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES)

    for path in ("/ui/", "/ui/workers", "/ui/nothing", "/ui/sign-in/"):
        answer = api.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/ui/sign-in?back="), path
    refused = api.post("/ui/workers", headers=OWN_FORM)
    assert refused.status_code == 401
    assert "Nothing was changed" in refused.text
    stream = api.get("/ui/live/workers")
    assert "You are not signed in any more" in stream.text
    assert "/ui/sign-in?back=%2Fui%2Fworkers" in stream.text
    assert stream.text.endswith("event: end\ndata:\n\n")


def test_the_key_of_a_script_opens_no_page_and_a_session_no_path_of_the_api(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES)
    assert api.get("/ui/workers", headers={"X-API-Key": OPS}).status_code == 303

    sign_in(api)

    assert api.get("/ui/workers").status_code == 200
    assert api.get("/workers").status_code == 401
    assert api.post("/pipelines/earthquakes/runs").status_code == 401


def test_the_cookie_is_for_this_host_and_no_script_and_over_https_for_that_alone(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES, **PROXY)

    plain = sign_in(api).headers["set-cookie"]
    safe = sign_in(api, **HTTPS).headers["set-cookie"]

    assert re.fullmatch(r"mousetrap=[\w-]{43}; HttpOnly; Path=/; SameSite=strict", plain)
    assert re.fullmatch(r"__Host-mousetrap=[\w-]{43}; HttpOnly; Path=/; SameSite=strict; Secure", safe)
    # What was set without https counts nowhere else.
    token = plain.partition("=")[2].partition(";")[0]
    crossed = api.get("/ui/workers", headers={**HTTPS, "Cookie": f"mousetrap={token}"})
    assert crossed.status_code == 303


def test_only_a_trusted_proxy_is_believed_about_https(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES)

    assert "Secure" not in sign_in(api, **HTTPS).headers["set-cookie"]


@pytest.mark.parametrize(
    ("headers", "warns"),
    [({}, False), ({"Host": "api.example:8000"}, True), ({"Host": "api.example", **HTTPS}, False)],
)
def test_the_page_warns_where_others_could_read_the_key(
    serve: Serve, headers: dict[str, str], warns: bool
) -> None:
    api = serve(api_keys=ENTRIES, **PROXY)

    assert ("not encrypted" in api.get("/ui/sign-in", headers=headers).text) is warns


@pytest.mark.parametrize(
    ("key", "status", "why"),
    [
        (OPS[:-1], 401, "The key is not known"),
        ("", 401, "The key is not known"),
        ("mt_ops_\N{SNOWMAN}", 401, "The key is not known"),
        ("x" * 100_000, 401, "The key is not known"),
        (RUN, 403, "lacks the scope read"),
    ],
)
def test_a_key_that_opens_nothing_is_refused_with_a_sentence(
    serve: Serve, key: str, status: int, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    api = serve(api_keys=ENTRIES)

    answer = sign_in(api, key)

    assert answer.status_code == status
    assert why in answer.text
    assert 'role="alert"' in answer.text
    assert 'value="/ui/workers"' in answer.text
    assert "set-cookie" not in answer.headers
    if key:
        assert key not in answer.text
        assert key not in caplog.text
    (record,) = [vars(record) for record in caplog.records if record.name == "mousetrap.audit"]
    assert (record["act"], record["who"]) == ("refused", "starter" if key == RUN else "unknown")


def test_a_key_that_has_ended_is_refused_with_its_last_day(serve: Serve) -> None:
    last_day = datetime.now(UTC).date() - timedelta(days=2)
    key, entry = new_key("old", ["read"], bytes(32), last_day=last_day)

    answer = sign_in(serve(api_keys=entry), key)

    assert answer.status_code == 401
    assert str(last_day) in answer.text


def test_wrong_keys_are_five_a_minute_and_address_and_a_right_one_is_let_in(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES, **PROXY)

    answers = [sign_in(api, "mt_ops_wrong") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 12
    assert f"try again in {answers[-1].headers['retry-after']} s" in answers[-1].text
    assert sign_in(api, "mt_ops_wrong", **HTTPS).status_code == 401  # another address
    assert sign_in(api).status_code == 303


def test_who_signed_out_is_out_everywhere(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES)
    sign_in(api)
    session = {"Cookie": f"mousetrap={api.cookies['mousetrap']}"}

    out = sign_out(api)

    assert out.status_code == 200
    assert "You are signed out." in out.text
    assert not api.cookies
    assert api.get("/ui/workers").status_code == 303
    assert api.get("/ui/workers", headers=session).status_code == 303
    assert sign_out(api).status_code == 200  # again


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "../../" * 7 + "x", "\xff" * 43])
def test_a_forged_session_is_none(serve: Serve, token: str) -> None:
    api = serve(api_keys=ENTRIES)
    sign_in(api)

    answer = api.get("/ui/workers", headers={b"Cookie": f"mousetrap={token}".encode("latin-1")})

    assert answer.status_code == 303


def test_a_replaced_key_ends_its_sessions_at_the_next_request(start_api: Any, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(ENTRIES)
    process, api = start_api(MOUSETRAP_API_KEYS_FILE=str(file))
    sign_in(api)
    assert api.get("/ui/workers").status_code == 200

    file.write_text(f"{READ_ENTRY}\n{REPLACED}")
    process.wait_for_line("read the keys again")

    assert api.get("/ui/workers").status_code == 303
    assert process.output.count("signed in") == 1


@pytest.mark.parametrize(
    "back",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/ui/\\evil.example",
        "/ui/\t/evil",
        "/ui/\r\nSet-Cookie: a=b",
        "/runs",
        "/uix",
        "javascript:alert(1)",
        "",
    ],
)
def test_signing_in_leads_to_no_other_site(serve: Serve, back: str) -> None:
    api = serve(api_keys=ENTRIES)

    assert sign_in(api, back=back).headers["location"] == "/ui/"
    assert api.get("/ui/sign-in", params={"back": back}).headers["location"] == "/ui/"


@pytest.mark.parametrize("page", ["/ui/", "/ui/runs?state=failed&tag=a%20b", "/ui/pipelines/a%2Fb"])
def test_own_pages_are_gone_back_to(page: str) -> None:
    assert own_page(page) == page


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, 303),  # a page cannot set it
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": ""}, 403),
        ({"Host": "a.example:81", "Origin": "http://a.example:81"}, 303),
        ({"Host": "a.example:81", "Origin": "http://a.example"}, 403),
        ({"Host": "a.example:81", "Origin": "https://a.example:81"}, 403),
        ({"Host": "a.example", "Origin": "https://a.example", **HTTPS}, 303),
        ({"Host": "a.example", "Origin": "http://a.example", **HTTPS}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({}, 403),
    ],
)
def test_only_a_form_of_our_own_pages_is_taken(
    serve: Serve, headers: dict[str, str], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Signing in, changing the theme and each act are forms alike."""
    api = serve(api_keys=ENTRIES, **PROXY)
    sign_in(api)
    session = {"Cookie": f"mousetrap={api.cookies['mousetrap']}"}

    for path, form in (("/ui/sign-in", {"key": OPS}), ("/ui/theme", {"theme": "dark"})):
        answer = api.post(path, data=form, headers={**headers, **session})
        assert answer.status_code == status, path
        assert ("This came from another site" in answer.text) is (status == 403)
        assert status == 303 or "set-cookie" not in answer.headers
    assert sum(record.name == "mousetrap.audit" for record in caplog.records) == 2 * (status == 403)


def test_a_link_of_another_site_leads_to_the_page_by_a_step_of_our_own(serve: Serve) -> None:
    """A browser leaves the cookie out of a request that another site's page made."""
    api = serve(api_keys=ENTRIES)

    step = api.get("/ui/workers?a=1", headers=FOLLOWED)

    assert step.status_code == 200
    assert 'http-equiv="refresh"' in step.text
    assert 'href="/ui/workers?a=1"' in step.text
    assert api.get("/ui/workers?a=1", headers=OWN_FORM).status_code == 303


@pytest.mark.parametrize("path", ["/ui/workers", "/ui/live/workers", "/ui/sign-in"])
def test_no_other_site_embeds_a_page_or_holds_its_stream_open(serve: Serve, path: str) -> None:
    api = serve()

    for site in ("cross-site", "same-site"):
        answer = api.get(path, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors"})
        assert answer.status_code == 403
        assert "This came from another site" in answer.text


def test_without_keys_this_machine_signs_in_nowhere(serve: Serve) -> None:
    api = serve()

    assert api.get("/ui/workers").status_code == 200
    assert api.get("/ui/workers", headers=FOLLOWED).status_code == 200
    assert api.get("/ui/sign-in").headers["location"] == "/ui/"
    assert sign_in(api, "").headers["location"] == "/ui/workers"
    assert "Sign out" not in api.get("/ui/workers").text


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"X-Forwarded-For": "192.0.2.1"}, {"Host": "[::"}]
)
def test_without_keys_no_other_machine_sees_a_page(serve: Serve, headers: dict[str, str]) -> None:
    api = serve()

    answer = api.get("/ui/workers", headers=headers)

    assert answer.status_code in (400, 403)
    assert "<h1>" in answer.text
    assert "Slots" not in answer.text


def test_each_page_is_kept_nowhere_and_is_in_no_frame(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES)
    sign_in(api)

    for path in ("/ui/workers", "/ui/nothing", "/ui/static/old/a.js", "/ui/sign-in"):
        headers = api.get(path).headers
        assert headers.get_list("cache-control") == ["no-store"], path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers.get_list("content-security-policy") == [headers["content-security-policy"]]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        # A browser that sends no referrer at all sends `Origin: null` with a form, which would be refused.
        assert headers.get_list("referrer-policy") == ["same-origin"]
    assert api.get("/ui").headers["location"] == "/ui/"


def test_while_the_store_is_away_who_is_signed_in_stays_so_and_no_one_signs_in(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = serve(api_keys=ENTRIES)
    sign_in(api)
    assert api.get("/ui/workers").status_code == 200

    async def away(*_: Any) -> Any:
        raise ConnectionError("it was closed")

    for method in ("call", "pipeline", "together"):
        monkeypatch.setattr(f"mousetrap.store_client.StoreClient.{method}", away)

    assert "Signed in with the key ops" in api.get("/ui/workers").text
    refused = api.post("/ui/sign-in", data={"key": OPS}, headers=OWN_FORM)
    assert refused.status_code == 503
    assert "The store is away" in refused.text
    assert "there the session ends 12 hours after its last use" in sign_out(api).text
    assert api.get("/ui/workers").status_code == 303
