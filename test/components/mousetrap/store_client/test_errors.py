"""Tests the store's address and errors for people."""

import pytest
from hypothesis import given, settings

from mousetrap.jobs import StoreFull, StoreUnreachable
from mousetrap.settings import Settings, SettingsWrong
from mousetrap.store_client import Address, ReplyError, address, open_client, reaching, unreachable
from support.settings import ANY_VALUE


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("valkey://me:secret@h:7000/1", "h:7000"),
        ("rediss://h", "h:6379"),
        ("unix:///run/valkey.sock?db=1", "/run/valkey.sock"),
    ],
)
def test_a_store_is_named_by_its_place_without_a_password(url: str, place: str) -> None:
    assert address(url) == place


def test_all_parts_of_an_address_are_read() -> None:
    read = Address.parse("valkeys://me:p%40ss@h:7000/3")
    assert read == Address("h", 7000, user="me", password="p@ss", database=3, encrypted=True)
    assert read.login("w") == [("AUTH", "me", "p@ss"), ("SELECT", 3), ("CLIENT", "SETNAME", "w")]
    assert "p@ss" not in f"{read!r} {read}"
    socket = Address.parse("unix://:word@/run/valkey.sock?db=2")
    assert socket == Address(path="/run/valkey.sock", password="word", database=2)
    assert socket.login("") == [("AUTH", "word"), ("SELECT", 2)]
    assert Address.parse("redis://h/").login("") == []


@pytest.mark.parametrize("url", ["http://h", "valkey://u:secret@h:port", "valkey://u:secret@h/db", "secret"])
def test_what_is_no_address_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="cannot be read") as refused:
        Address.parse(url)
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    "error", [ConnectionError("gone"), OSError("gone"), TimeoutError("gone"), ReplyError("ERR gone")]
)
def test_any_fault_on_the_way_is_an_absent_store(error: Exception) -> None:
    with pytest.raises(StoreUnreachable, match=r"^cannot reach the store at h:1: gone$"), reaching("h:1"):
        raise error


def test_a_defect_is_not_taken_for_an_absent_store() -> None:
    with pytest.raises(ValueError, match="ours"), reaching("h:1"):
        raise ValueError("ours")


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreFull, "is full"),
        ("MISCONF Errors writing to the AOF file", StoreFull, "takes no writes"),
        ("READONLY You can't write against a read only replica.", StoreUnreachable, "a replica"),
        ("MOVED 3999 127.0.0.1:6381", StoreUnreachable, "of a cluster"),
        ("ASK 3999 127.0.0.1:6381", StoreUnreachable, "of a cluster"),
        ("LOADING Valkey is loading the dataset in memory", StoreUnreachable, "LOADING"),
    ],
)
def test_a_refusal_is_explained(text: str, kind: type[StoreUnreachable], words: str) -> None:
    error = unreachable("h:1", ReplyError(text))
    assert type(error) is kind
    assert words in str(error)


@settings(max_examples=400, deadline=None)
@given(ANY_VALUE)
def test_an_address_that_the_settings_take_can_be_read(url: str) -> None:
    try:
        taken = Settings.from_environ({"MOUSETRAP_STORE_URL": url})
    except SettingsWrong:
        return
    open_client(taken.store_url, None)
    address(taken.store_url)
