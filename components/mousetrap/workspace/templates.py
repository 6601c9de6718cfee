"""Fills the templates of this brick."""

import re
from importlib import resources
from typing import Any


def filled(template: str, /, **values: Any) -> str:
    """The text of the file "templates/TEMPLATE.txt", with each `{{name}}` replaced. Raises KeyError for one without a value."""
    text = (resources.files(__package__) / "templates" / f"{template}.txt").read_text()
    return re.sub(r"\{\{(\w+)\}\}", lambda found: str(values[found[1]]), text)
