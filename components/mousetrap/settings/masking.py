"""Hides passwords in addresses, so that they can be printed and logged."""

import re

_PASSWORD = re.compile(r"(?P<before>\w+://[^:/@\s]*:)[^@/\s]+(?=@)")


def masked(text: str) -> str:
    """`text` with the password of every address in it replaced by three stars."""
    # Every line of log comes by here, and hardly any has an address in it: to look for one takes longer than to write the line.
    return _PASSWORD.sub(r"\g<before>***", text) if "://" in text else text
