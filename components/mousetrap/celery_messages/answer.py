"""Writes the message with which a caller of Celery gets a result."""

from typing import Any

import msgspec


def answer_done(task_id: str, result: Any) -> bytes:
    """The result of a task that is done."""
    return _answer(task_id, "SUCCESS", result)


def answer_failed(task_id: str, kind: str, text: str) -> bytes:
    """The error of one that failed; a caller that does not have its class gets one that is named as it is."""
    module, _, name = kind.rpartition(".")
    return _answer(task_id, "FAILURE", _error(module or "builtins", name, text))


def answer_revoked(task_id: str, why: str) -> bytes:
    """That it was cancelled, or its time was over."""
    return _answer(task_id, "REVOKED", _error("celery.exceptions", "TaskRevokedError", why))


def _error(module: str, name: str, text: str) -> dict[str, Any]:
    return {"exc_type": name, "exc_message": [text], "exc_module": module}


def _answer(task_id: str, status: str, result: Any) -> bytes:
    answer = {"task_id": task_id, "status": status, "result": result, "traceback": None, "children": []}
    return msgspec.json.encode(answer)
