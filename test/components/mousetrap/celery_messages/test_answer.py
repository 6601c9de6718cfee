"""Celery's own code reads the answers."""

from typing import Any

import msgspec
import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError

from mousetrap.celery_messages import answer_done, answer_failed, answer_revoked

_app = Celery("test", backend="rpc://", set_as_current=False)


def read(body: bytes) -> Any:
    """The result as Celery's backend decodes it."""
    return _app.backend.meta_from_decoded(msgspec.json.decode(body))


def test_a_result_is_read() -> None:
    meta = read(answer_done("i", {"a": [1, None]}))

    assert (meta["task_id"], meta["status"], meta["result"]) == ("i", "SUCCESS", {"a": [1, None]})


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("ValueError", ValueError), ("builtins.KeyError", KeyError), ("shop.Gone", Exception)],
)
def test_an_error_is_read_as_its_class_where_that_is_known(kind: str, expected: type[Exception]) -> None:
    error = read(answer_failed("i", kind, "it is gone"))["result"]

    assert isinstance(error, expected)
    assert "it is gone" in str(error)
    assert type(error).__name__ == kind.rpartition(".")[2]


def test_a_cancelled_run_is_a_revoked_task() -> None:
    meta = read(answer_revoked("i", "cancelled"))

    assert meta["status"] == "REVOKED"
    assert isinstance(meta["result"], TaskRevokedError)
