"""Measures RabbitMQ alone: a C program makes the confirmed hop."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.contenders import ENVIRONMENTS, HERE
from benchmarks.figures import Figure
from support.rabbitmq import virtual_host

ABOUT = """The raw mark is `raw/confirmed_hop.c`, a program against librabbitmq with one thread and one connection: consume, publish to the
next queue (300 bytes, persistent, mandatory), wait for the confirm, acknowledge; its queue is full before it begins, and it
takes turns with the contenders. “Every hop publishes” counts two confirmed hops a message; “the last only acknowledges” is what
a pipeline of two stages asks of the broker."""

TABLE, ROW = "Hops a second in C", "C"
SOURCE = HERE / "raw" / "confirmed_hop.c"
HOW = "`apt-get install gcc libc6-dev librabbitmq-dev` gives what the C program needs"

#: Column, queue type, and which hops publish. The first is the mark.
_WAYS = (
    ("quorum queues, every hop publishes", "quorum", "all"),
    ("quorum queues, the last only acknowledges", "quorum", "first"),
    ("classic queues, every hop publishes", "classic", "all"),
)
#: As large as ours.
_PREFETCH = 200
MARK = _WAYS[0][0]


def one_round(bench: Bench, program: Path | None, number: int) -> Iterator[Figure]:
    """Each way once."""
    for column, queue_type, publishing in _WAYS:
        if program is None:
            yield Figure(TABLE, ROW, column, None, "", number, f"not run: {HOW}")
            continue
        with virtual_host(bench.broker) as url:
            messages = 1_000 if bench.quick else 40_000
            output = _run([program, url, queue_type, str(messages), str(_PREFETCH), publishing])
        bench.log(f"{ROW}, {column}, round {number}: {output} hops/s")
        rate = float(output) if output.isdecimal() else None
        yield Figure(TABLE, ROW, column, rate, "hops/s", number, "" if rate else output)


def compiled(bench: Bench) -> Path | None:
    """The program, or None where this machine cannot make it."""
    program = ENVIRONMENTS / "confirmed_hop"
    program.parent.mkdir(parents=True, exist_ok=True)
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        bench.log(f"no C compiler: {HOW}")
        return None
    done = subprocess.run(
        [compiler, "-O2", "-o", program, SOURCE, "-lrabbitmq"], check=False, capture_output=True, text=True
    )
    if done.returncode:
        bench.log(f"the C program does not compile: {HOW}\n{done.stderr[:500]}")
        return None
    return program


def _run(command: list[str | Path]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=180)
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip()
