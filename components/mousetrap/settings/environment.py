"""Collects MOUSETRAP_… variables, and the files that MOUSETRAP_…_FILE variables name."""

from collections.abc import Iterable, Mapping
from pathlib import Path

PREFIX = "MOUSETRAP_"


class SettingsWrong(Exception):
    """A setting cannot be used; the text has a line for each, with its variable and what to write, and no secret."""


def collect(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The values that `environ` holds for the settings `names`, from the variable or from the file it names.

    Raises SettingsWrong for both at once, a file that cannot be read, or a MOUSETRAP_ variable that no setting has.
    """
    known = {variable(name): name for name in names}
    values: dict[str, str] = {}
    for key, value in environ.items():
        if not key.startswith(PREFIX) or key.startswith(f"{PREFIX}TEST_"):
            continue
        plain = key.removesuffix("_FILE") if key not in known else key
        if plain not in known:
            raise SettingsWrong(f"{key}: there is no such setting; docs/settings.md lists them")
        if plain != key and plain in environ:
            raise SettingsWrong(f"{plain} and {key} are both set: unset one")
        values[known[plain]] = value if plain == key else _content(key, value)
    return values


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def _content(key: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsWrong(f"{key}: cannot read {path}: {error}") from error
