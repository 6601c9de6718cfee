"""Collects MOUSETRAP_… variables, and the files that MOUSETRAP_…_FILE variables name."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from mousetrap.settings.other_names import hint_of

PREFIX = "MOUSETRAP_"
#: Characters of a file that holds a setting; no setting is longer.
_MAX_CHARACTERS = 1_048_576
#: Characters that are no text: controls without the two of a line's end, and halves of a pair, as of bytes that are not UTF-8.
_NO_TEXT = re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class SettingsWrong(Exception):
    """A setting cannot be used; the text has a line for each, with its variable and what to write, and no secret."""


class Completed(dict[str, str]):
    """An environment with variables of a local stack added: `added` has their names."""

    def __init__(self, environ: Mapping[str, str], added: Mapping[str, str]) -> None:
        super().__init__({**environ, **added})
        self.added = frozenset(added)


def overridden(environ: Mapping[str, str], values: Mapping[str, str]) -> Mapping[str, str]:
    """`environ` with `values`, which win; what a local stack added to it stays marked."""
    merged = Completed(environ, values)
    merged.added = environ.added - values.keys() if isinstance(environ, Completed) else frozenset()
    return merged


def collect(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The values that `environ` holds for the settings `names`, from the variable or from the file it names.

    Raises SettingsWrong for both at once, for a file that cannot be read or is empty, for a text with control characters or
    quotes, and for a MOUSETRAP_ variable that is not a setting. One that a local stack added is ignored then: it is a setting of
    the stack's workers.
    """
    known = {variable(name): name for name in names}
    added = environ.added if isinstance(environ, Completed) else frozenset()
    values: dict[str, str] = {}
    for key, value in environ.items():
        if not key.startswith(PREFIX) or key.startswith(f"{PREFIX}TEST_"):
            continue
        plain = key.removesuffix("_FILE") if key not in known else key
        if plain not in known:
            if key in added:
                continue
            advice = hint_of(plain.removeprefix(PREFIX)) or _nearest(key, plain, known)
            raise SettingsWrong(f"{_shown(key)}: there is no such setting{advice}")
        if plain != key and plain in environ:
            raise SettingsWrong(f"{plain} and {key} are both set: unset one")
        values[known[plain]] = _clean(key, value if plain == key else _content(key, value))
    return values


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def _nearest(key: str, plain: str, known: Iterable[str]) -> str:
    """Advice: the nearest setting, with `_FILE` if that was written; else where all are listed."""
    import difflib  # 0.2 MiB that a worker with the right settings does not hold

    near = difflib.get_close_matches(plain, known, n=1, cutoff=0.85)
    return f": write {near[0]}{key.removeprefix(plain)}" if near else "; docs/settings.md lists them"


def _content(key: str, path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            text = file.read(_MAX_CHARACTERS + 1).strip()
    except (OSError, ValueError) as error:  # a ValueError reports an invalid path or text
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsWrong(f"{key}: cannot read {_shown(path)}: {why}") from error
    if not text:
        raise SettingsWrong(f"{key}: {_shown(path)} is empty: write the value into it, or unset {key}")
    if len(text) > _MAX_CHARACTERS:
        raise SettingsWrong(f"{key}: {_shown(path)} is longer than {_MAX_CHARACTERS} characters")
    return text


def _clean(key: str, value: str) -> str:
    """The value without blanks around it. Raises SettingsWrong, without the value, for quotes and control characters."""
    text = value.strip()
    if _NO_TEXT.search(text):
        raise SettingsWrong(f"{key}: it holds a character that is not text: write it in UTF-8")
    if text[:1] in ("'", '"') and text[:1] == text[-1:]:
        raise SettingsWrong(f"{key}: it is in quotes: leave them out")
    return text


def _shown(text: str) -> str:
    return text if text.isprintable() else ascii(text)
