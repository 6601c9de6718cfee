"""A custom serializer, and handlers that pass a value on."""

import json
from typing import Any

import msgspec

from mousetrap.pipeline import Serializer


class Page(msgspec.Struct, frozen=True):
    """What crosses."""

    name: str
    body: bytes


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()[::-1]


def _load(data: bytes) -> Any:
    return json.loads(data[::-1])


BACKWARDS = Serializer("backwards", _dump, _load)
PAGE = Page("a", b"\x00\xff")


async def fetch(name: str) -> Page:
    return Page(name, PAGE.body)


def pass_on(page: Page) -> Page:
    assert isinstance(page, Page)
    return page
