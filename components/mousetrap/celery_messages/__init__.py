"""Reads and writes messages of Celery, protocol 2; pure, and without Celery."""

from mousetrap.celery_messages.answer import answer_done, answer_failed, answer_revoked
from mousetrap.celery_messages.arguments import bound
from mousetrap.celery_messages.declared import Declared, DeclaredWrong, read_declared
from mousetrap.celery_messages.follow import after_done, after_failed, check_follows, is_more, waited_for
from mousetrap.celery_messages.invocation import (
    Invocation,
    NotUnderstood,
    kept_headers,
    read_invocation,
    run_priority,
)
from mousetrap.celery_messages.sending import Signature, Wire, sent_first, wire_of

__all__ = [
    "Declared",
    "DeclaredWrong",
    "Invocation",
    "NotUnderstood",
    "Signature",
    "Wire",
    "after_done",
    "after_failed",
    "answer_done",
    "answer_failed",
    "answer_revoked",
    "bound",
    "check_follows",
    "is_more",
    "kept_headers",
    "read_declared",
    "read_invocation",
    "run_priority",
    "sent_first",
    "waited_for",
    "wire_of",
]
