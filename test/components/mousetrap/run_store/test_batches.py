"""Tests calls that are sent to the store together."""

import asyncio

import pytest

from mousetrap.run_store import Terms, open_store

#: Seconds; without an end there would be none.
_ENDS = 20


@pytest.mark.parametrize("new_runs", [2, 5])
async def test_what_cannot_be_sent_fails_alone_and_leaves_no_call_waiting(
    store_url: str, new_runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", new_runs)
    async with open_store(store_url, retention=60.0) as store, asyncio.timeout(_ENDS):
        await store.open_run("r1", "sums", "add", b"1")
        ended, number, text, opened = await asyncio.gather(
            store.ended(["r1"]),
            store.open_run("r2", "sums", "add", b"1", terms=Terms(expires_in=1e30)),
            store.open_run("r3", "sums", "add", b"1", terms=Terms(rerun_of="\udc80")),
            store.open_run("r4", "sums", "add", b"1"),
            return_exceptions=True,
        )

    assert ended == set()
    # The record of a packed run is text, which has room for any number; submitters bound it.
    assert isinstance(number, OverflowError) == (new_runs == 2)
    assert isinstance(text, UnicodeEncodeError)
    assert getattr(opened, "state", opened) == "new"
