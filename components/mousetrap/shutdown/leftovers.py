"""Lists what keeps a process from ending, and where it runs."""

import asyncio
import sys
import threading
import traceback
from types import FrameType
from typing import Any

#: The local variable in which a generator keeps the coroutine that it drives, as the soft timeout does.
_DRIVEN_COROUTINE = "work"


def left_behind() -> list[str]:
    """The threads that are no daemons and the processes of `multiprocessing`, for which the interpreter would wait."""
    main, me = threading.main_thread(), threading.current_thread()
    threads = [
        f"thread {each.name}" for each in threading.enumerate() if each not in (main, me) and not each.daemon
    ]
    # Only if it is imported: a process that never used it has no such children.
    multiprocessing = sys.modules.get("multiprocessing")
    children = multiprocessing.active_children() if multiprocessing else []
    return threads + [f"process {each.name} (pid {each.pid})" for each in children]


def all_stacks() -> str:
    """Where each thread but this one is, the newest call last."""
    frames = sys._current_frames()
    others = (thread for thread in threading.enumerate() if thread is not threading.current_thread())
    return "\n".join(f"thread {thread.name}:\n{stack(frames.get(thread.ident or 0))}" for thread in others)


def stack(frame: FrameType | None) -> str:
    """The calls that led to `frame`; None for a thread that has ended since."""
    return "".join(traceback.format_stack(frame)).rstrip() if frame else "  (ended since)"


def task_stack(task: "asyncio.Task[Any]") -> str:
    """Where the task waits, the innermost await last; callable from any thread."""
    frames: list[FrameType] = []
    inner: Any = task.get_coro()
    while inner is not None:
        frame = getattr(inner, "cr_frame", None) or getattr(inner, "gi_frame", None)
        if frame is None:
            break
        frames.append(frame)
        driven = frame.f_locals.get(_DRIVEN_COROUTINE)
        inner = getattr(inner, "cr_await", None) or getattr(inner, "gi_yieldfrom", None) or driven
    lines = [line for frame in frames for line in traceback.format_stack(frame, limit=1)]
    return "".join(lines).rstrip() or "  (ended since)"
