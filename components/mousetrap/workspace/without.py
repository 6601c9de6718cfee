"""Takes parts out of texts of TOML, YAML and Markdown: pure."""

import re
from collections.abc import Callable, Collection


def without_lines(text: str, is_out: Callable[[str], object]) -> str:
    """The text without the lines that `is_out` names."""
    return "".join(line for line in text.splitlines(keepends=True) if not is_out(line))


def without_names(text: str, names: Collection[str]) -> str:
    """The text with these names taken out of lists on one line, as "[a, b]" and "a | b"."""
    for name in sorted(names, key=len, reverse=True):
        word = rf"(?<![\w`-]){re.escape(name)}(?![\w`-])"
        text = re.sub(rf"{word}(, | \| )", "", text)
        text = re.sub(rf"(, | \| ){word}", "", text)
    return text


def without_block(text: str, key: str, indent: int) -> str:
    """YAML without the block of `key` at this indent, its comment above and the empty line below."""
    lines = text.splitlines(keepends=True)
    start = next(
        (at for at, line in enumerate(lines) if re.match(rf" {{{indent}}}{re.escape(key)}:", line)), None
    )
    if start is None:
        return text
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
        end += 1
    while start and lines[start - 1].lstrip().startswith("#") and _indent(lines[start - 1]) == indent:
        start -= 1
    while lines[end - 1 : end] == ["\n"] and end == len(lines):
        end -= 1
    return "".join([*lines[:start], *lines[end:]])


def without_documents(text: str, names: Collection[str]) -> str:
    """YAML without the documents whose metadata have one of these names."""
    documents = text.split("---\n")
    return "---\n".join(
        each
        for each in documents
        if not any(re.search(rf"^  name: {name}$", each, re.MULTILINE) for name in names)
    )


def without_items(text: str, is_out: Callable[[str], object]) -> str:
    """Markdown without the items of lists and rows of tables that `is_out` names, each with the lines that continue it."""
    items = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    return "".join(item for item in items if not (re.match(r"\d+\. |- |\| ", item) and is_out(item)))


def without_tables(text: str, header: str, is_out: Callable[[str], object]) -> str:
    """TOML without the tables `[[header]]` whose text `is_out` names."""
    parts = re.split(rf"^(?=\[\[{re.escape(header)}\]\])", text, flags=re.MULTILINE)
    return "".join(part for at, part in enumerate(parts) if at == 0 or not is_out(part))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
