"""Hides secrets in addresses, so that they can be printed, logged and kept."""

import re

_PASSWORD = re.compile(r"(?P<before>://[^:/@\s]*:)[^@/\s]+(?=@)")
#: On the web a user's name alone is often a token.
_WEB_USER = re.compile(r"(?P<before>(?:(?<=http)|(?<=https))://)[^/?#@\s]+(?=@)", re.IGNORECASE)
#: What follows the ? or # of an address, whose path we follow so far and no farther: else a text of addresses alone takes long.
_BEHIND = re.compile(r"(?P<before>://[^\s?#\"'<>\\]{0,2048})(?P<behind>[?#][^\s\"'<>\\]*)")
#: A value in it, or a part of it that has no name.
_VALUE = re.compile(r"(?P<before>[?#&;](?:[^=&;#?]*=)?)[^&;#?]+")


def masked(text: str) -> str:
    """`text` with three stars for the password of every address in it, and for each value in the address's query or fragment.

    The names in a query stay, for they say what is wrong with it.
    """
    # Every line of log comes by here, and hardly any has an address in it: to look for one takes longer than to write the line.
    if "://" not in text:
        return text
    text = _WEB_USER.sub(r"\g<before>***", _PASSWORD.sub(r"\g<before>***", text))
    return _BEHIND.sub(lambda found: found["before"] + _VALUE.sub(r"\g<before>***", found["behind"]), text)
