"""Makes text safe to print: unsafe characters become visible."""

import re

#: Control characters, with DEL and C1; separators of lines and marks of writing direction; invisible tags; and lone
#: surrogates, which no encoding can write. Each function decides about line feed and tab.
_UNSAFE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_IN_TEXT = re.compile(f"[{_UNSAFE}]")
_IN_LINE = re.compile(f"[\n\t{_UNSAFE}]")


def printable(text: str) -> str:
    """`text` with each unsafe character replaced by U+FFFD: as long as before. Line feeds and tabs stay."""
    return text if text.isprintable() else _IN_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str) -> str:
    r"""`text` on one line: each unsafe character, line feed and tab is written as its escape, as `\n` or `\x1b`."""
    # Every log line passes here, and few have such a character.
    return text if text.isprintable() else _IN_LINE.sub(_escape, text)


def below(text: str) -> str:
    """The lines of `text`, each indented, so that they follow a log record and do not look like one."""
    return "\n".join(f"  {one_line(line)}" for line in text.split("\n"))


def printable_json(text: str, *, ascii_only: bool = False) -> str:
    r"""A JSON document with each unsafe character in its strings written as `\u001b`: the same document.

    With `ascii_only` that is done to all beyond ASCII.
    """
    pattern = re.compile(r"[^\n\t\x20-\x7e]") if ascii_only else _IN_TEXT
    return pattern.sub(_json_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
