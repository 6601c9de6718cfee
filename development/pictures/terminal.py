"""Draws a command's terminal output as an SVG.

Use: python development/pictures/terminal.py docs/demo.svg make demo
"""

import os
import pty
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 90


def printed(command: list[str]) -> str:
    """All that the command writes to a terminal of its own, colours included."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment):
        os.close(theirs)
        chunks = []
        try:
            while chunk := os.read(ours, 65_536):
                chunks.append(chunk)
        except OSError:
            pass  # Linux reports a closed other end so
    return b"".join(chunks).decode()


def last_state(output: str) -> str:
    """The output without what was overwritten: a live display moves up and overwrites."""
    lines: list[str] = []
    for line in output.replace("\r\n", "\n").split("\n"):
        ups = len(re.findall(r"\x1b\[1A", line))
        lines = lines[: len(lines) - ups]
        lines.append(re.sub(r"\x1b\[\?25[lh]|\r", "", line.rpartition("\x1b[2K")[2]))
    return "\n".join(lines)


def picture(text: str, title: str) -> str:
    """An SVG that loads nothing from elsewhere."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text))
    svg = console.export_svg(title=title)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL).replace("Fira Code, ", "")


if __name__ == "__main__":
    target, *command = sys.argv[1:]
    Path(target).write_text(
        picture(last_state(printed(command)).rstrip(), " ".join(command)), encoding="utf-8"
    )
