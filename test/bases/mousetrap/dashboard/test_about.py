"""Checks the page about the server."""

import pytest

from support.dashboard import Answers, Pages
from support.hostile import HOSTILE, check_harmless

SETTINGS = [
    {"name": "MOUSETRAP_UI", "value": "True", "is_default": True},
    {"name": "MOUSETRAP_API_KEY", "value": "***", "is_default": False},
]
STORE = {
    "address": "valkey://s",
    "server": "valkey 9",
    "policy": "allkeys-lru",
    "appends": True,
    "used_bytes": 3_145_728,
}
ABOUT = {
    "version": "1.2",
    "interface": "2.0",
    "python": "3.11",
    "host": "h",
    "started_ms": 1,
    "settings": SETTINGS,
    "broker": {"address": "amqp://b", "problem": "it is away"},
    "store": {**STORE, "max_bytes": 0},
}


def test_what_is_wrong_with_broker_and_store_is_shown_first(pages: Pages, answers: Answers) -> None:
    answers.given |= {"GET /about": (200, ABOUT), "GET /workers": (200, [])}

    text = pages.get("/about").text

    assert "it is away" in text and "it forgets (allkeys-lru)" in text and "3 MiB, without a bound" in text
    assert text.index("MOUSETRAP_API_KEY") < text.index("MOUSETRAP_UI")


@pytest.mark.parametrize("odd", HOSTILE)
def test_no_text_becomes_markup(pages: Pages, answers: Answers, odd: str) -> None:
    settings = [{"name": odd, "value": odd, "is_default": False}]
    about = {
        **ABOUT,
        "settings": settings,
        "host": odd,
        "version": odd,
        "broker": {"address": odd, "problem": odd},
    }
    answers.given |= {"GET /about": (200, about), "GET /workers": (200, [])}

    check_harmless(pages.get("/about").text)
