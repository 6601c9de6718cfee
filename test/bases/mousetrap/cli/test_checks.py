"""Shows how a store is judged."""

import pytest

from mousetrap.cli.checks import check_store_facts
from mousetrap.run_store import StoreFacts


@pytest.mark.parametrize(
    ("policy", "state"),
    [("noeviction", "ok"), ("allkeys-lru", "fail"), ("volatile-ttl", "fail"), (None, "warn")],
)
def test_a_store_that_may_forget_fails(policy: str | None, state: str) -> None:
    eviction, _ = check_store_facts(StoreFacts(server="Valkey 9", policy=policy, appends=True, snapshots=""))
    assert (eviction.name, eviction.state) == ("eviction", state)
    assert bool(eviction.mend) is (state != "ok")


@pytest.mark.parametrize(
    ("appends", "snapshots", "state", "words"),
    [
        (True, "", "ok", "append-only"),
        (False, "3600 1", "warn", "by snapshots alone"),
        (False, "", "warn", "not at all"),
        (None, None, "warn", "no one knows how"),
    ],
)
def test_a_store_that_a_restart_may_empty_is_warned_of(
    appends: bool | None, snapshots: str | None, state: str, words: str
) -> None:
    _, persistence = check_store_facts(
        StoreFacts(server="Valkey 9", policy="noeviction", appends=appends, snapshots=snapshots)
    )
    assert (persistence.name, persistence.state) == ("persistence", state)
    assert words in persistence.found
