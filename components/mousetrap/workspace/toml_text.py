"""Adds entries to TOML texts by lines: pure."""

import re
import tomllib
from collections.abc import Callable
from typing import Any

from mousetrap.api_client import Misused


def with_entry(text: str, table: str, key: str, value: str) -> str:
    """The text with `key = "value"` in `[table]`, before the first key that is greater."""
    quoted = key if re.fullmatch(r"[\w-]+", key) else f'"{key}"'

    def change(data: dict[str, Any]) -> None:
        for name in table.split("."):
            data = data.setdefault(name, {})
        data[key] = value

    line = f'{quoted} = "{value}"'
    lines = text.split("\n")
    start = _line_of(lines, rf"\[{re.escape(table)}\]", f"[{table}]")
    end = next((at for at in range(start + 1, len(lines)) if not lines[at].strip()), len(lines))
    if any(each.startswith(f"{quoted} =") for each in lines[start:end]):
        return text
    place = next((at for at in range(start + 1, end) if lines[at] > line), end)
    return _checked(text, "\n".join([*lines[:place], line, *lines[place:]]), change)


def with_layer(text: str, name: str, *, below: str) -> str:
    """The text with `name` as a layer of its own in the first list of layers, right below the layer `below`."""
    if name in _layers(text):
        return text
    lines = text.split("\n")
    place = 1 + _line_of(lines, rf'    "{below}",', f"the layer {below}")

    def change(data: dict[str, Any]) -> None:
        layers = data["tool"]["importlinter"]["contracts"][0]["layers"]
        layers.insert(1 + layers.index(below), name)

    return _checked(text, "\n".join([*lines[:place], f'    "{name}",', *lines[place:]]), change)


def with_sibling(text: str, name: str, *, beside: str) -> str:
    """The text with `name` in the layer that has `beside`."""
    if name in _layers(text):
        return text
    lines = text.split("\n")
    place = _line_of(lines, rf'    "{beside}( \| \w+)*",', f"the layer of {beside}")
    line = lines[place].replace('",', f' | {name}",')

    def change(data: dict[str, Any]) -> None:
        layers = data["tool"]["importlinter"]["contracts"][0]["layers"]
        at = next(at for at, layer in enumerate(layers) if beside in layer.split(" | "))
        layers[at] = f"{layers[at]} | {name}"

    return _checked(text, "\n".join([*lines[:place], line, *lines[place + 1 :]]), change)


def with_importer(text: str, protected: str, importer: str) -> str:
    """The text with `importer` among those that may import the module `protected`, in a list of a line for each."""
    lines = text.split("\n")
    start = _line_of(
        lines, rf'protected_modules = \["{re.escape(protected)}"\]', f"who may import {protected}"
    )
    end = next((at for at in range(start, len(lines)) if lines[at] == "]"), len(lines))
    line = f'    "{importer}",'
    if line in lines[start:end]:
        return text
    place = next((at for at in range(start + 2, end) if lines[at] > line), end)

    def change(data: dict[str, Any]) -> None:
        for contract in data["tool"]["importlinter"]["contracts"]:
            if contract.get("protected_modules") == [protected]:
                contract["allowed_importers"] = sorted([*contract["allowed_importers"], importer])

    return _checked(text, "\n".join([*lines[:place], line, *lines[place:]]), change)


def _layers(text: str) -> set[str]:
    layers = tomllib.loads(text)["tool"]["importlinter"]["contracts"][0]["layers"]
    return {name for layer in layers for name in layer.split(" | ")}


def _line_of(lines: list[str], pattern: str, what: str) -> int:
    for at, line in enumerate(lines):
        if re.match(pattern, line):
            return at
    raise Misused(f"pyproject.toml has no line with {what}: it has another form than this command knows")


def _checked(before: str, after: str, change: Callable[[dict[str, Any]], None]) -> str:
    """`after`, if it means what `before` means with `change` made."""
    expected = tomllib.loads(before)
    change(expected)
    try:
        data = tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        data = {}
    if data != expected:
        raise Misused(
            "pyproject.toml has another form than this command knows: it would change more than it should"
        )
    return after
