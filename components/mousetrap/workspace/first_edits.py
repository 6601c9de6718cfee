"""Finds what to replace first in bricks that templates wrote."""

from mousetrap.workspace.edits import Edits

#: Parts of the templates' lines, and what to put in their place.
_PLACES = {
    "    text: str": "the fields of the contract",
    "(text=given.text)": "what the task does",
    '(text="one")': "what a test expects",
}


def first_edits(edits: Edits, name: str) -> list[str]:
    """The lines of the component `name` and of its tests that are the templates' still: "path:line  what"."""
    folder = f"components/mousetrap/{name}"
    paths = [f"{folder}/contracts.py", f"{folder}/tasks.py", f"test/{folder}/test_{name}.py"]
    return [
        f"{path}:{number}  {what}"
        for path in paths
        if edits.exists(path)
        for number, line in enumerate(edits.read(path).split("\n"), start=1)
        for part, what in _PLACES.items()
        if part in line
    ]
