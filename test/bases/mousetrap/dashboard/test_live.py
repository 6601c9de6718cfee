"""Checks that a stream sends what changed, shares its looks, and ends."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from mousetrap.api_keys import Caller
from mousetrap.dashboard.facts import Facts, LastKnown
from mousetrap.dashboard.live import Hub, turn_s
from mousetrap.dashboard.view import Elsewhere, Page, Query, View
from support.dashboard import Answers


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.dashboard.live._FAST_S", 0.01)
    monkeypatch.setattr("mousetrap.dashboard.live._SLOW_S", 0.01)


class Counted:
    """A page whose answer a test changes."""

    def __init__(self) -> None:
        self.value, self.looks, self.fills, self.is_over = 0, 0, 0, False
        self.answers = Answers()
        self.again = asyncio.Event()

    async def looked_at_again(self, times: int) -> None:
        for _ in range(times):
            self.again.clear()
            await self.again.wait()

    async def look(self, view: View) -> tuple[Facts, Page]:
        self.looks += 1
        self.again.set()
        self.answers.given["GET /value"] = (200, self.value)
        facts = Facts(self.answers, view.visitor, "", LastKnown())
        value = await facts.get("/value", int)
        return facts, Page("Value", "value.html", value, ("value", "same"), is_over=self.is_over)

    def fill(self, view: View, facts: Facts, page: Page) -> Mapping[str, str]:
        self.fills += 1
        return {"value": f"<b id=value>{page.data}</b>\n", "same": "<i id=same></i>"}


def view(path: str = "/value", who: str = "") -> View:
    return View(path, {}, Query(), Caller(who, frozenset()), "", "", 0)


async def take(stream: AsyncIterator[str]) -> str:
    async with asyncio.timeout(60):
        return await anext(stream)


async def test_it_sends_all_at_first_and_then_what_changed() -> None:
    counted = Counted()
    stream = Hub(counted.look, counted.fill).watch(view(), asyncio.Event())
    first = await take(stream)
    counted.value = 1

    second = await take(stream)

    assert 'hx-target="#value"' in first and 'hx-target="#same"' in first
    assert "<b id=value>1</b>" in second
    assert "same" not in second
    assert all(line.startswith("data: ") for line in second.strip().splitlines())


async def test_what_did_not_change_is_not_filled_again() -> None:
    counted = Counted()
    stream = Hub(counted.look, counted.fill).watch(view(), asyncio.Event())
    await take(stream)
    await counted.looked_at_again(5)

    assert counted.fills == 1


async def test_watchers_of_one_page_share_its_looks_and_those_of_another_visitor_do_not() -> None:
    counted = Counted()
    hub = Hub(counted.look, counted.fill)
    streams = [hub.watch(view(), asyncio.Event()) for _ in range(20)]
    for stream in streams:
        await take(stream)

    assert counted.fills == 1
    await take(hub.watch(view(who="anna"), asyncio.Event()))
    assert counted.fills == 2


async def test_a_page_that_no_one_watches_is_not_looked_at() -> None:
    counted = Counted()
    stream = Hub(counted.look, counted.fill).watch(view(), asyncio.Event())
    await take(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    seen = counted.looks
    for _ in range(100):
        await asyncio.sleep(0)

    assert counted.looks == seen


async def test_the_stream_of_what_is_over_ends_with_an_event() -> None:
    counted = Counted()
    counted.is_over = True

    parts = [part async for part in Hub(counted.look, counted.fill).watch(view(), asyncio.Event())]

    assert parts[-1] == "event: end\ndata:\n\n"


async def test_a_page_that_could_not_be_filled_once_is_looked_at_again() -> None:
    counted = Counted()

    def fill(view: View, facts: Facts, page: Page) -> Mapping[str, str]:
        if counted.looks < 3:
            raise ZeroDivisionError
        return counted.fill(view, facts, page)

    stream = Hub(counted.look, fill).watch(view(), asyncio.Event())

    assert "<b id=value>0</b>" in await take(stream)


async def test_a_page_without_parts_that_change_is_looked_at_once() -> None:
    counted = Counted()

    async def look(view: View) -> tuple[Facts, Page]:
        facts, page = await counted.look(view)
        return facts, replace(page, regions=())

    async with asyncio.timeout(60):
        parts = [part async for part in Hub(look, counted.fill).watch(view(), asyncio.Event())]

    assert parts[-1] == "event: end\ndata:\n\n"
    assert counted.looks == 1


async def test_a_page_that_leads_elsewhere_is_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    counted = Counted()

    async def look(view: View) -> tuple[Facts, Page]:
        found = await counted.look(view)
        if counted.looks < 3:
            raise Elsewhere("/ui/runs/r1")
        return found

    await take(Hub(look, counted.fill).watch(view(), asyncio.Event()))

    assert not caplog.records


async def test_it_ends_when_the_server_stops() -> None:
    counted, stopping = Counted(), asyncio.Event()
    stream = Hub(counted.look, counted.fill).watch(view(), stopping)
    await take(stream)
    stopping.set()

    with pytest.raises(StopAsyncIteration):
        while True:
            await take(stream)


def test_four_pages_that_are_looked_at_all_the_time_take_their_share_of_a_core_together() -> None:
    assert 4 * 0.02 / turn_s(0.02) == pytest.approx(0.2)
    assert turn_s(100.0) == 60.0


async def test_few_pages_are_looked_at_at_once_and_each_has_its_turn() -> None:
    under_way, most, full, go_on = set[str](), 0, asyncio.Event(), asyncio.Event()

    async def look(view: View) -> tuple[Facts, Page]:
        nonlocal most
        under_way.add(view.path)
        most = max(most, len(under_way))
        if most == 4:
            full.set()
        await go_on.wait()
        under_way.discard(view.path)
        return Facts(Answers(), view.visitor, "", LastKnown()), Page("", "", None, ("value",))

    hub = Hub(look, lambda *_: {"value": "<i id=value></i>"}, cpu_s=lambda: 0.0)
    firsts = [asyncio.create_task(take(hub.watch(view(f"/{each}"), asyncio.Event()))) for each in range(20)]
    await full.wait()
    go_on.set()
    await asyncio.gather(*firsts)

    assert most == 4
