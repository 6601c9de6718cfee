"""Tests how much of limits one answer has."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from mousetrap.api.limits import list_limits
from mousetrap.pipeline import AtMost, Pipeline, Stage
from mousetrap.shapes import LimitKey

PIPELINES, VALUES = 12, 200


class Order(msgspec.Struct):
    of: str


class Store:
    """A store in which somebody waits for each of many values of each limit."""

    async def waiting_for_limits(self, places: Sequence[str]) -> dict[str, int]:
        return dict.fromkeys(places, VALUES)

    async def limit_keys(self, place: str, kind: str) -> tuple[Sequence[str], int]:
        return [f"{place}:{kind}:{number}" for number in range(VALUES)], 1

    async def limit_key(self, key: str) -> LimitKey:
        return LimitKey(key=key, of="", running=0, waiting=1)


async def test_an_answer_has_a_thousand_values_and_how_many_are_left_out() -> None:
    stage = Stage(name="s", queue="q", input=Order, output=int, limit=AtMost(1, per="of"))
    known = {
        f"p{number}": Pipeline(name=f"p{number}", description="Limits its jobs.", stages=(stage,))
        for number in range(PIPELINES)
    }

    found = await list_limits(cast(Any, SimpleNamespace(pipelines=known, store=Store())))

    assert sum(len(each.keys) for each in found) == 1_000
    assert sum(each.more for each in found) == PIPELINES * (VALUES + 1) - 1_000
