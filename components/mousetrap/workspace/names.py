"""Checks the names of new bricks: pure."""

import keyword
import re
from collections.abc import Collection, Sequence

from mousetrap.api_client import Misused

_FORM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
#: Of a name: with it three times, a function's first line fits.
_LONGEST = 24


def check_name(name: str, taken: Collection[str]) -> None:
    """Raises Misused for a name that is no brick's, or that is in `taken`."""
    if not _FORM.fullmatch(name) or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise Misused(
            f"{name!r} cannot be a name: write small letters and digits, with _ between words, as in 'count_words'"
        )
    if name.startswith("test"):  # its contract would be a class Test…, which pytest takes for tests
        raise Misused(
            f"{name!r} begins as tests do, and pytest would collect its contracts: choose another name"
        )
    if len(name) > _LONGEST:
        raise Misused(f"{name!r} has {len(name)} characters: at most {_LONGEST} are possible")
    if name in taken:
        raise Misused(f"there is a brick {name!r} already: choose another name")


def check_stages(name: str, stages: Sequence[str]) -> None:
    """Raises Misused for fewer than two stages, for a bad name among them, and for two of one name."""
    if len(stages) < 2:
        raise Misused(
            f"name the stages of {name!r} in their order, at least two; for one, `mousetrap new task {name}`"
        )
    before: set[str] = {name}
    for stage in stages:
        check_name(stage, ())
        if stage in before:
            raise Misused(
                f"the name {stage!r} is given twice: the pipeline and each stage have names of their own"
            )
        before.add(stage)


def class_name(name: str) -> str:
    """The name as a class has it: "count_words" is "CountWords"."""
    return "".join(part.capitalize() for part in name.split("_"))


def dashed(name: str) -> str:
    """The name as programs, images and manifests have it: "count_words" is "count-words"."""
    return name.replace("_", "-")
