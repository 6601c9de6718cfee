"""Tests that a cluster is refused for locks and limits."""

import pytest

from mousetrap.handlers import Binding
from mousetrap.pipeline import AtMost, Lock, Pipeline, Stage
from mousetrap.serve_worker.locks import check_locks
from mousetrap.settings import SettingsWrong

CLUSTER = "valkey://me:word@a:1,b:2/0"


def binding(lock: Lock | None, limit: AtMost | None = None) -> Binding:
    stage = Stage(name="count", queue="words", input=int, output=int, lock=lock, limit=limit)
    pipeline = Pipeline(name="alone", description="alone", stages=(stage,))
    return Binding(pipeline=pipeline, stage="count", handler=lambda number: number)


def test_a_lock_that_the_store_cannot_keep_is_named() -> None:
    with pytest.raises(SettingsWrong, match=r"alone\.count has a lock") as refused:
        check_locks([binding(None), binding(Lock(name="one"))], CLUSTER)
    assert "word" not in str(refused.value)


def test_a_limit_that_the_store_cannot_keep_is_named() -> None:
    with pytest.raises(SettingsWrong, match=r"alone\.count has a limit"):
        check_locks([binding(None, AtMost(3))], CLUSTER)


def test_others_start() -> None:
    check_locks([binding(None)], CLUSTER)
    check_locks([binding(Lock(name="one"), AtMost(3))], "valkey://me:word@a:1/0")
