"""Leaves a forked child's copies of open connections alone."""

import ctypes
import os
import weakref
from functools import cache
from typing import Any

_opened: "weakref.WeakSet[Any]" = weakref.WeakSet()


def leave_after_fork(opened: Any) -> None:
    """In each child that is forked from now on, `opened` and all that it holds stay as they are, to the end of the process.

    The end of a task or a transport would speak on the parent's sockets, or take them out of the parent's epoll, which the
    two processes share. So nothing of it may be destroyed, not even when the interpreter ends: it has one reference more.
    """
    _register_hook()
    _opened.add(opened)


@cache
def _register_hook() -> None:
    os.register_at_fork(after_in_child=_leave_all)


def _leave_all() -> None:
    for each in list(_opened):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))
