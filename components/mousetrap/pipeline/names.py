"""Checks names and times where they are written."""

import re
from datetime import timedelta
from typing import Any

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def check_name(what: str, name: object) -> None:
    """Raises ValueError for a name that a broker, a URL or a key could misread; `what` is the thing that has it."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"{what} name {name!r}: use a-z, 0-9, _ and -, a letter first, at most 63 characters"
        )


def check_seconds(where: str, what: str, seconds: Any) -> None:
    """Raises ValueError for a time that is no number of seconds, as a timedelta or a text."""
    if seconds is None or (isinstance(seconds, int | float) and not isinstance(seconds, bool)):
        return
    shown = f"{seconds.total_seconds():g}" if isinstance(seconds, timedelta) else "30.0"
    raise ValueError(f"{where}: {what} is {seconds!r}: write seconds, as {shown}, or leave it out for no end")


def check_names(what: str, stages: tuple[Any, ...], allowed: tuple[type, ...] = (str,)) -> None:
    """Raises ValueError for what is no name of a stage, as an empty one."""
    for each in stages:
        if isinstance(each, allowed) and each:
            continue
        raise ValueError(f"{what}({shown(each)}): {_named(what, each)}")


def _named(what: str, given: Any) -> str:
    """What to write in place of it."""
    if isinstance(name := getattr(given, "name", None), str):
        return f"write the stage's name, as {what}({name!r})"
    if isinstance(given, list | tuple | set | frozenset) and given and what in ("AnyOf", "All"):
        return f"name the stages one by one, as {what}({listed(tuple(given))})"
    return f"name one stage by its text, as {what}('read')"


def shown(given: Any) -> str:
    """What was written, a stage by its name alone."""
    name = getattr(given, "name", None)
    return f"<stage {name!r}>" if isinstance(name, str) else repr(given)


def listed(names: tuple[object, ...]) -> str:
    """The names as they are written."""
    return ", ".join(map(repr, names)) or "nothing"
