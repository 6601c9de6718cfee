"""A signal is acted on though the main thread sleeps."""

import subprocess
import sys

import pytest

#: Another thread gets the signal, so nothing wakes the main one: as for a signal that comes just before it falls asleep.
_PROGRAM = """
import os, signal, sys, threading
from queue import SimpleQueue
from mousetrap.shutdown import called_at_signals

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


#: A loop of a library that has the signals written for itself, which a callback blocks; it runs a second time as well.
_ON_A_LOOP = """
import asyncio, os, signal, sys, threading, time
from queue import SimpleQueue
import uvloop
from mousetrap.shutdown import SignalThread

number, events, others = signal.Signals(int(sys.argv[1])), SimpleQueue(), []
threading.Thread(target=threading.Event().wait, daemon=True).start()
signals = SignalThread(lambda: events.put("asked"))
signals.begin()

async def block():
    loop = asyncio.get_running_loop()
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    threading.Thread(target=os.kill, args=(os.getpid(), number)).start()
    print(events.get(), flush=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    came = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, came.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await came.wait()
    print("passed on", flush=True)

loop = uvloop.new_event_loop()
for _ in range(2):
    loop.call_soon(signals.hold)
    loop.run_until_complete(block())
os.kill(os.getpid(), number)
print(events.get(), flush=True)
loop.close()
signals.end()
print(signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler), signal.set_wakeup_fd(-1))
"""


@pytest.mark.parametrize("number", [2, 15])
def test_an_event_loop_that_is_blocked_keeps_no_signal_and_gets_its_own(number: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _ON_A_LOOP, str(number)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    words = ["asked", "passed", "on"]
    assert ended.stdout.split() == [*words, *words, "asked", "True", "-1"], ended.stderr


#: Its thread is about to pass a signal on when the next loop has the signals.
_PASSED_ON_LATE = """
import os, signal, socket, threading
from queue import SimpleQueue
from mousetrap.shutdown import SignalThread

about_to_write, replaced, results, write = threading.Event(), threading.Event(), SimpleQueue(), os.write

def write_late(descriptor, data):
    about_to_write.set()
    replaced.wait()
    try:
        results.put(write(descriptor, data))
    except OSError as error:
        results.put(error)

def begin(loop):
    loop[0].setblocking(False)
    signal.set_wakeup_fd(loop[0].fileno())
    signals.hold()

loops = [socket.socketpair() for _ in range(2)]
signals = SignalThread(lambda: None)
signals.begin()
begin(loops[0])
os.write = write_late
os.kill(os.getpid(), signal.SIGINT)
about_to_write.wait()
begin(loops[1])
replaced.set()
print(results.get(), loops[1][1].recv(9))
signals.end()
"""


def test_a_signal_that_is_passed_on_while_the_loop_changes_gets_to_the_next_one() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PASSED_ON_LATE], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.stdout.strip() == r"1 b'\x02'", ended.stderr
