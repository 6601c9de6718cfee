"""Tests the windows of a fan-out, and what later attempts send."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.handlers import FanRefused
from mousetrap.pipeline import Payload
from mousetrap.retry import Outage
from mousetrap.run_store import OpenedFan
from mousetrap.worker import fan_out
from mousetrap.worker.fan_out import FanOut, Item, Opener


class Store:
    """What a store has of one fan, and what its broker has got; an attempt after another one finds it."""

    def __init__(self) -> None:
        self.opened = self.confirmed = 0
        self.keys: dict[str, int] = {}
        #: The window that this attempt gave each key in.
        self.given: dict[str, int] = {}
        #: The payload of each index, and every index that was sent, in order.
        self.children: dict[int, bytes] = {}
        self.sent: list[int] = []
        #: The most children that were waiting at once, and the calls that opened some.
        self.calls: list[tuple[int, int]] = []
        #: How many more are sent until the attempt's worker dies, or its queue has no room.
        self.dies_after = self.full_after = 10**9
        #: Indexes that were given up.
        self.lost = set[int]()


class Died(Exception):
    """The worker is no more."""


class FakeOpener:
    """The children of one attempt; as Opener."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def item(self, payload: Payload, key: str | None) -> Item:
        return Item(payload, key)

    async def open(
        self, number: int, opened: int, confirmed: int, keys: Sequence[str] | None = None
    ) -> OpenedFan:
        store = self._store
        store.calls.append((opened, confirmed))
        for key in keys or ():
            if store.given.setdefault(key, number) != number or list(keys or ()).count(key) > 1:
                raise FanRefused("contract", f"it gives the key {key!r} twice")
        store.confirmed = max(store.confirmed, confirmed)
        indexes = [store.keys.setdefault(key, len(store.keys)) for key in keys or ()]
        store.opened = max(store.opened, opened, len(store.keys))
        assert store.confirmed <= store.opened
        return OpenedFan(
            opened=store.opened, confirmed=store.confirmed, indexes=tuple(indexes), lost=tuple(store.lost)
        )

    async def send(self, items: dict[int, Item]) -> None:
        for index in sorted(items):
            if not self._store.dies_after:
                raise Died
            if not self._store.full_after:
                raise Outage("full")
            self._store.dies_after -= 1
            self._store.full_after -= 1
            assert index < self._store.opened
            raw = items[index].payload.raw
            assert self._store.children.setdefault(index, raw) == raw
            self._store.sent.append(index)
            del items[index]


async def attempt(store: Store, children: Sequence[Any]) -> int:
    """One attempt that gives these children: payloads, or pairs of a key and a payload."""
    store.given.clear()
    fan = FanOut(cast(Opener, FakeOpener(store)))
    for child in children:
        key, raw = child if isinstance(child, tuple) else (None, child)
        await fan.add(Payload(raw), key)
    return await fan.close()


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "WINDOW", 4)


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def keyed(names: str) -> list[tuple[str, bytes]]:
    return [(name, name.encode()) for name in names]


async def test_children_are_opened_by_window_and_the_last_window_s_confirm_comes_with_the_next() -> None:
    store = Store()

    assert await attempt(store, numbers(10)) == 10

    assert store.calls == [(4, 0), (8, 4), (10, 8)]
    assert store.sent == list(range(10))


async def test_none_at_all_asks_whether_an_earlier_attempt_has_opened_some() -> None:
    store = Store()

    assert await attempt(store, []) == 0
    assert store.calls == [(0, 0)]


async def test_a_window_ends_with_its_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "WINDOW_BYTES", 10)
    store = Store()

    await attempt(store, [b"123456", b"123456", b"1"])

    assert store.calls == [(2, 0), (3, 2)]


@pytest.mark.parametrize("dies_after", range(11))
async def test_a_later_attempt_sends_what_may_not_have_been_sent_and_no_more(dies_after: int) -> None:
    store = Store()
    store.dies_after = dies_after
    with pytest.raises(Died):
        await attempt(store, numbers(11))
    before, store.sent, store.dies_after = store.sent, [], 10**9

    assert await attempt(store, numbers(11)) == 11

    assert store.children == dict(enumerate(numbers(11)))
    assert store.sent == list(range(store.sent[0], 11))
    assert len(set(before) & set(store.sent)) <= 4


@pytest.mark.parametrize("given", range(8))
async def test_an_attempt_that_gives_fewer_than_were_opened_is_refused(given: int) -> None:
    store = Store()
    store.dies_after = 5
    with pytest.raises(Died):
        await attempt(store, numbers(8))
    store.dies_after = 10**9

    with pytest.raises(FanRefused, match="8 children") as refused:
        await attempt(store, numbers(given))

    assert refused.value.reason == "fan-changed"


async def test_with_keys_the_order_may_change() -> None:
    store = Store()
    store.dies_after = 6
    with pytest.raises(Died):
        await attempt(store, keyed("abcdefgh"))
    store.dies_after = 10**9

    assert await attempt(store, keyed("hgfedcbaz")) == 9

    assert {store.children[index]: name for name, index in store.keys.items()} == {
        name.encode(): name for name in "abcdefghz"
    }
    assert store.sent.count(store.keys["a"]) == 1


@pytest.mark.parametrize("again", ["abcdefg", "efgh", "hgfedcb", "z", ""])
@pytest.mark.parametrize("dies_after", [4, 6])
async def test_every_key_must_come_again_wherever_a_window_ended(again: str, dies_after: int) -> None:
    """Also one that is known to be sent: what an attempt may leave out would depend on where the one before it died."""
    store = Store()
    store.dies_after = dies_after
    with pytest.raises(Died):
        await attempt(store, keyed("abcdefgh"))
    store.dies_after = 10**9

    with pytest.raises(FanRefused) as refused:
        await attempt(store, keyed(again))

    assert refused.value.reason == "fan-changed"


@pytest.mark.parametrize("with_keys", [False, True])
async def test_what_was_given_up_is_not_sent_again(with_keys: bool) -> None:
    store, children = Store(), keyed("abcdefgh") if with_keys else numbers(8)
    store.dies_after = 7
    with pytest.raises(Died):
        await attempt(store, children)
    store.dies_after, store.sent, store.lost = 10**9, [], {1, 5}

    assert await attempt(store, children) == 8
    assert store.sent == [4, 6, 7]


@pytest.mark.parametrize("children", ["abca", "aa", "abcdefga"])
async def test_a_key_that_comes_twice_in_one_attempt_is_refused(children: str) -> None:
    with pytest.raises(FanRefused, match="'a' twice"):
        await attempt(Store(), keyed(children))


@pytest.mark.parametrize("children", [[b"1", ("a", b"1")], [("a", b"1"), b"1"]])
async def test_all_children_have_keys_or_none_has(children: list[Any]) -> None:
    with pytest.raises(FanRefused, match="others have none"):
        await attempt(Store(), children)


@pytest.mark.parametrize("with_keys", [False, True])
async def test_a_full_queue_takes_a_fan_out_a_step_further_in_each_attempt(with_keys: bool) -> None:
    """It has room for two children at a time, and an attempt ends where none would be left to take from it."""
    store, children = Store(), keyed("abcdefghi") if with_keys else numbers(9)
    for _ in range(5):
        store.full_after = 2
        try:
            assert await attempt(store, children) == 9
        except Outage:
            continue
        break

    assert store.sent == list(range(9))


@given(
    deaths=st.lists(st.integers(0, 12), max_size=4),
    orders=st.lists(st.permutations("abcdefghijkl"), min_size=5, max_size=5),
)
def test_whatever_order_the_attempts_have_each_key_is_one_child(
    deaths: list[int], orders: list[list[str]]
) -> None:
    store = Store()
    for order, dies_after in zip(orders, [*deaths, 10**9], strict=False):
        store.dies_after = dies_after
        try:
            total = asyncio.run(attempt(store, keyed("".join(order))))
        except Died:
            continue
        break

    assert total == 12
    assert store.children == {index: name.encode() for name, index in store.keys.items()}
