"""Starts a run for each line of a file."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import msgspec
import typer

from mousetrap.api_client import BatchReply, Misused, Unreachable

if TYPE_CHECKING:
    from mousetrap.api_client import Api

#: Lines of one request, and bytes: results show while more are read, and little is lost with a connection.
_MOST_LINES, _MOST_BYTES = 1_000, 4_194_304
#: Refused lines that are shown; all are counted.
_SHOWN = 20
_AGAIN = "send them again, which is safe where they have id or unique"


class _Part(NamedTuple):
    """Some lines of the file."""

    #: The number of the line before the first.
    before: int
    lines: list[bytes]

    def first_unread(self, replies: Sequence[BatchReply]) -> int | None:
        """The number in the file of the first line that the API did not read; None where each has its answer.

        An API that stops reading answers the line where it stopped with a problem, and none after it.
        """
        last = max((at for at, line in enumerate(self.lines, start=1) if line.strip()), default=0)
        if not replies:
            return self.before + 1 if last else None
        answered, read = replies[-1].line, replies[-1].problem is None
        return None if answered >= last else self.before + answered + read


def start_batch(api: "Api", pipeline: str, source: str, *, as_json: bool) -> None:
    """Starts the runs of a file, or of standard input for `-`; prints what became of them. Exits 1 when a line was refused or not read."""
    report, unread = _Report(as_json), None
    with _opened(source) as file:
        for part in _parts(file):
            try:
                replies = api.start_many(pipeline, b"".join(part.lines))
            except Unreachable as error:
                report.end()
                raise Unreachable(
                    f"{error}\nthe lines from {part.before + 1} on have no answer: {_AGAIN}"
                ) from error
            for reply in replies:
                if reply.line <= len(part.lines):  # the one after is where it stopped: nothing of ours
                    report.add(reply, part.before)
            if unread := part.first_unread(replies):
                break
    report.end(unread)
    if report.refused or unread:
        raise typer.Exit(1)


class _Report:
    """Counts the answers, and prints what is to be seen at once."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._new = 0
        self._known = 0
        self.refused = 0

    def add(self, reply: BatchReply, before: int) -> None:
        """Prints the answer as JSON, or a refused line in words."""
        from mousetrap.cli.output import print_json_line, print_line

        line = before + reply.line
        if reply.problem is not None:
            self.refused += 1
        elif reply.new:
            self._new += 1
        else:
            self._known += 1
        if self._as_json:
            print_json_line(msgspec.json.encode({**msgspec.json.decode(reply.json), "line": line}))
        elif reply.problem is not None and self.refused <= _SHOWN:
            print_line(f"mousetrap: line {line}: {reply.problem.text}", error=True)

    def end(self, unread: int | None = None) -> None:
        """Prints the summary, and the first line that the API did not read."""
        from mousetrap.cli.output import print_line

        if not self._as_json:
            self._sum_up()
        if unread:
            text = f"mousetrap: the lines from {unread} on were not read: {_AGAIN}"
            print_line(text, error=True)

    def _sum_up(self) -> None:
        from mousetrap.cli.output import print_line

        if self.refused > _SHOWN:
            print_line(f"mousetrap: and {self.refused - _SHOWN:,} more lines", error=True)
        known = f", and {self._known:,} that were accepted before" if self._known else ""
        refused = f"; {_lines(self.refused)} refused" if self.refused else ""
        print_line(f"accepted {self._new:,} run{'' if self._new == 1 else 's'}{known}{refused}")


def _lines(count: int) -> str:
    return "1 line was" if count == 1 else f"{count:,} lines were"


@contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    if source == "-":
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(source).open("rb"))
        except OSError as error:
            raise Misused(f"--batch {source}: {error.strerror}") from error
        yield file


def _parts(file: IO[bytes]) -> Iterator[_Part]:
    lines, size, before = list[bytes](), 0, 0
    for line in file:
        lines.append(line)
        size += len(line)
        if len(lines) == _MOST_LINES or size >= _MOST_BYTES:
            yield _Part(before, lines)
            lines, size, before = [], 0, before + len(lines)
    if lines:
        yield _Part(before, lines)
