"""Sessions are found by token and key, end in time, are bounded."""

import hashlib
from datetime import UTC, datetime

import pytest

from mousetrap.api_keys import ApiKeys, Caller, new_key
from mousetrap.jobs import StoreUnreachable
from mousetrap.sessions import IDLE_S, LONGEST_S, MOST_OF_A_KEY, Sessions, open_sessions
from support.ports import closed_port
from support.valkey_cluster import ValkeyCluster

NOW_S = 1_800_000_000.0
CHANCE = bytes(range(32))
_, OPS = new_key("ops", ["read", "operate"], CHANCE)
_, REPLACED = new_key("ops", ["read", "operate"], CHANCE[::-1])
_, OTHER = new_key("other", ["read"], CHANCE)
KEYS = ApiKeys.parse(f"{OPS},{OTHER}")
CALLER = KEYS.callers["ops"][0]


def chance(number: int) -> bytes:
    return hashlib.sha256(bytes([number // 256, number % 256])).digest()


def key_of(token: str) -> str:
    return f"mousetrap:session:{hashlib.sha256(token.encode()).hexdigest()}"


async def found(sessions: Sessions, token: str, now_s: float = NOW_S, keys: ApiKeys = KEYS) -> Caller | None:
    return await sessions.find(keys, token, now_s)


async def test_a_session_is_found_by_its_token_until_it_is_ended(store_url: str) -> None:
    async with open_sessions(store_url) as sessions, open_sessions(store_url) as others:
        token = await sessions.start(KEYS, CALLER, CHANCE, NOW_S)

        assert await found(sessions, token) == await found(others, token) == CALLER
        for wrong in ("", token[:-1], token + "A", token[::-1], "\udcff" * 43, "A" * 100_000):
            assert await found(sessions, wrong) is None

        await others.end(token)
        assert await found(sessions, token) is None
        await sessions.end(token)  # a second time changes nothing


async def test_the_store_has_neither_token_nor_key(store_url: str) -> None:
    async with open_sessions(store_url) as sessions:
        token = await sessions.start(KEYS, CALLER, CHANCE, NOW_S)
        stored = (await sessions._client.call("GET", key_of(token))).decode()

    assert stored.startswith("ops:")
    assert token not in stored
    assert OPS.rpartition(":")[2] not in stored


async def test_what_somebody_wrote_into_the_store_signs_no_one_in(store_url: str) -> None:
    async with open_sessions(store_url) as sessions:
        token = await sessions.start(KEYS, CALLER, CHANCE, NOW_S)
        other = await sessions.start(KEYS, KEYS.callers["other"][0], chance(1), NOW_S)
        good = await sessions._client.call("GET", key_of(token))
        key_id, ends_ms, mark = good.decode().split(":")
        for forged in (
            f"{key_id}:{int(ends_ms) + 1}:{mark}",  # a later end
            f"other:{ends_ms}:{mark}",
            f"{key_id}:{ends_ms}:",
            f"{key_id}:{ends_ms}",
            "ops:soon:" + mark,
            b"\xff:1:2",
            "",
        ):
            await sessions._client.call("SET", key_of(token), forged, "PX", 100_000)
            assert await found(sessions, token) is None, forged
        # Another's session under this token, as one who reads and writes the store could put it there.
        await sessions._client.call("SET", key_of(other), good, "PX", 100_000)
        assert await found(sessions, other) is None


async def test_a_key_that_is_replaced_or_taken_out_or_has_ended_ends_its_sessions(store_url: str) -> None:
    last_day = datetime.fromtimestamp(NOW_S, UTC).date()
    _, ending = new_key("ops", ["read"], CHANCE, last_day=last_day)
    async with open_sessions(store_url) as sessions:
        token = await sessions.start(KEYS, CALLER, CHANCE, NOW_S)
        for keys in (ApiKeys.parse(REPLACED), ApiKeys.parse(OTHER), ApiKeys()):
            assert await found(sessions, token, keys=keys) is None
        # The same key with fewer scopes: the session has no more than they.
        fewer = ApiKeys.parse(ending)
        caller = await found(sessions, token, keys=fewer)
        assert caller is not None and caller.scopes == {"read"}
        assert await found(sessions, token, caller.ends_s - 1, fewer) == caller
        assert await found(sessions, token, caller.ends_s, fewer) is None


async def test_a_session_ends_when_it_is_not_used_and_a_week_after_its_start(store_url: str) -> None:
    async with open_sessions(store_url) as sessions:
        token = await sessions.start(KEYS, CALLER, CHANCE, NOW_S)
        call = sessions._client.call
        index = "mousetrap:sessions:ops"
        assert 0 < await call("PTTL", key_of(token)) <= IDLE_S * 1000

        # A use shortly after another is not noted, a later one is: as if most of the time had passed.
        await call("PEXPIRE", key_of(token), int(IDLE_S * 1000) - 30_000)
        await found(sessions, token)
        assert await call("PTTL", key_of(token)) <= IDLE_S * 1000 - 30_000
        await call("PEXPIRE", key_of(token), 60_000)
        later = NOW_S + IDLE_S - 60
        assert await found(sessions, token, later) == CALLER
        assert await call("PTTL", key_of(token)) > 60_000
        (score,) = await call("ZMSCORE", index, key_of(token).rpartition(":")[2])
        assert float(score) == (later + IDLE_S) * 1000

        last = NOW_S + LONGEST_S
        await call("PEXPIRE", key_of(token), 1_000)
        assert await found(sessions, token, last - 100) == CALLER
        assert 1_000 < await call("PTTL", key_of(token)) <= 100_000
        assert await found(sessions, token, last) is None


async def test_a_key_has_a_bounded_number_of_sessions_and_the_longest_unused_ends(store_url: str) -> None:
    async with open_sessions(store_url) as sessions:
        tokens = [
            await sessions.start(KEYS, CALLER, chance(number), NOW_S + number)
            for number in range(MOST_OF_A_KEY)
        ]
        await sessions._client.call("PEXPIRE", key_of(tokens[0]), 60_000)
        assert await found(sessions, tokens[0], NOW_S + 1_000) == CALLER  # it is used

        await sessions.start(KEYS, CALLER, chance(1_000), NOW_S + 1_001)
        await sessions.start(KEYS, KEYS.callers["other"][0], chance(1_001), NOW_S + 1_001)

        assert await found(sessions, tokens[0], NOW_S + 1_002) == CALLER
        assert await found(sessions, tokens[1], NOW_S + 1_002) is None
        assert await found(sessions, tokens[2], NOW_S + 1_002) == CALLER


async def test_sessions_that_ended_by_themselves_make_room(store_url: str) -> None:
    async with open_sessions(store_url) as sessions:
        token = await sessions.start(KEYS, CALLER, CHANCE, NOW_S)
        await sessions._client.call("DEL", key_of(token))  # as its time does it
        await sessions.start(KEYS, CALLER, chance(1), NOW_S + IDLE_S)

        assert await sessions._client.call("ZCARD", "mousetrap:sessions:ops") == 1


async def test_on_a_cluster_sessions_start_are_found_and_end(valkey_cluster: ValkeyCluster) -> None:
    async with open_sessions(valkey_cluster.url) as sessions:
        tokens = [
            await sessions.start(KEYS, CALLER, chance(number), NOW_S) for number in range(MOST_OF_A_KEY + 3)
        ]
        counted = [await found(sessions, token) for token in tokens]
        await sessions.end(tokens[-1])

        assert counted.count(None) == 3
        assert await found(sessions, tokens[-1]) is None


async def test_while_the_store_is_away_what_was_found_lately_counts(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_sessions(store_url) as sessions,
        open_sessions(f"valkey://127.0.0.1:{closed_port()}/0") as away,
    ):
        token = await sessions.start(KEYS, CALLER, CHANCE, NOW_S)
        unused = await sessions.start(KEYS, CALLER, chance(1), NOW_S)
        ended = await sessions.start(KEYS, CALLER, chance(2), NOW_S)
        assert await found(sessions, token) == await found(sessions, ended) == CALLER
        monkeypatch.setattr(sessions, "_client", away._client)

        assert await found(sessions, token, NOW_S + 3_600) == CALLER
        assert await found(sessions, token, keys=ApiKeys.parse(REPLACED)) is None
        with pytest.raises(StoreUnreachable):
            await found(sessions, token, NOW_S + 3_601)
        with pytest.raises(StoreUnreachable):
            await found(sessions, unused)
        with pytest.raises(StoreUnreachable):
            await sessions.end(ended)
        with pytest.raises(StoreUnreachable):
            await found(sessions, ended)  # here it has ended all the same
        with pytest.raises(StoreUnreachable):
            await sessions.start(KEYS, CALLER, CHANCE, NOW_S)


async def test_what_is_remembered_of_sessions_is_bounded(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.sessions.sessions._MOST_REMEMBERED", 3)
    async with open_sessions(store_url) as sessions:
        for number in range(9):
            await found(sessions, await sessions.start(KEYS, CALLER, chance(number), NOW_S))

        assert len(sessions._remembered) == 3


async def test_a_token_needs_its_random_bytes(store_url: str) -> None:
    async with open_sessions(store_url) as sessions:
        with pytest.raises(ValueError, match="32 random bytes"):
            await sessions.start(KEYS, CALLER, bytes(31), NOW_S)
