"""A forked process has neither its parent's signals nor its connections."""

import subprocess
import sys

import pytest

#: A program that has a loop and handlers as a worker has, forks in a thread, and prints what it is asked for.
_PROGRAM = """
import asyncio, multiprocessing, os, signal, socket, sys, time
import uvloop
from mousetrap.shutdown import close_in_forks, own_loop, own_signals

def wait():
    time.sleep(60)

def fork_and_end():
    context = multiprocessing.get_context("fork")
    child = context.Process(target=wait)
    child.start()
    child.terminate()  # at once: it may be before the child has run a line of its own
    child.join(60)
    return child.exitcode

async def main():
    stopped = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stopped.append(number))
    own_signals(signal.SIGTERM, signal.SIGINT)
    own_loop(asyncio.get_running_loop())
    codes = [await asyncio.to_thread(fork_and_end) for _ in range(20)]
    await asyncio.sleep(0.05)
    print(set(codes), stopped)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.05)
    print(stopped)

asyncio.Runner(loop_factory=LOOP).run(main())
"""


@pytest.mark.parametrize("loop", ["uvloop.new_event_loop", "asyncio.new_event_loop"])
def test_a_signal_ends_the_process_it_was_sent_to_and_no_other(loop: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM.replace("LOOP", loop)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.splitlines() == ["{-15} []", "[15]"], ran.stderr


_CUT_OFF = """
import asyncio, os, socket, sys
import uvloop
from mousetrap.shutdown import close_in_forks, own_loop, this_process

async def main():
    mine, theirs = socket.socketpair()      # as a connection to a broker
    reader, writer = await asyncio.open_connection(sock=mine)
    listening = socket.create_server(("127.0.0.1", 0))
    own_loop(asyncio.get_running_loop())
    close_in_forks(listening.fileno())
    kept, its = os.pipe()
    child = os.fork()
    if not child:
        os.close(kept)
        seen = [this_process.forked, *(os.fstat(fd).st_rdev == os.stat(os.devnull).st_rdev
                            for fd in (writer.get_extra_info("socket").fileno(), listening.fileno()))]
        os.write(its, repr(seen).encode())
        os._exit(0)
    os.waitpid(child, 0)
    print(os.read(kept, 100).decode(), this_process.forked)
    writer.write(b"still here")             # and the parent's own is as it was
    theirs.setblocking(False)
    print(await asyncio.get_running_loop().sock_recv(theirs, 100))
    theirs.send(b"yes")
    print(await reader.read(3))

asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no other system lists what a loop watches")
def test_connections_are_cut_off_in_a_fork_and_go_on_in_its_parent() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _CUT_OFF], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.splitlines() == ["[True, True, True] False", "b'still here'", "b'yes'"], ran.stderr
