"""A signal wakes a main thread that sleeps on a lock."""

import subprocess
import sys

import pytest

#: Another thread gets the signal, so nothing wakes the main one: as for a signal that comes just before it falls asleep.
_PROGRAM = """
import os, signal, sys, threading
from queue import SimpleQueue
from mousetrap.local_stack.signals import called_at_signals

number, events = signal.Signals(int(sys.argv[1])), SimpleQueue()
threading.Thread(target=threading.Event().wait, daemon=True).start()
with called_at_signals(lambda: events.put("asked")):
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    for _ in range(2):
        threading.Thread(target=os.kill, args=(os.getpid(), number)).start()
        print(events.get(), flush=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
print(signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler), signal.set_wakeup_fd(-1))
"""


@pytest.mark.parametrize("number", [2, 15])
def test_each_signal_is_acted_on_though_the_main_thread_sleeps_on_a_lock(number: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(number)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.stdout.split() == ["asked", "asked", "True", "-1"], ended.stderr
