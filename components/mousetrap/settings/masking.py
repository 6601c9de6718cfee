"""Masks secrets in texts that are printed, logged or kept."""

import re

_PASSWORD = re.compile(r"(?P<before>://[^:/@\s]*:)[^@/\s]+(?=@)")
#: On the web a user's name alone is often a token.
_WEB_USER = re.compile(r"(?P<before>(?:(?<=http)|(?<=https))://)[^/?#@\s]+(?=@)", re.IGNORECASE)
#: What follows the ? or # of an address. The path has a limit: else a text of many addresses takes long.
_BEHIND = re.compile(r"(?P<before>://[^\s?#\"'<>\\]{0,2048})(?P<behind>[?#][^\s\"'<>\\]*)")
#: A value in it, or a part of it that has no name.
_VALUE = re.compile(r"(?P<before>[?#&;](?:[^=&;#?]*=)?)[^&;#?]+")
#: A key of the API: its id may be shown.
_API_KEY = re.compile(r"(?P<before>mt_[a-z0-9-]{1,32}_)[A-Za-z0-9_-]+")
#: A query parameter whose name marks it as a secret, as in the access log, whose lines have no host.
_SECRET = re.compile(
    r"(?P<before>[?&;][^=&;#?\s\"'<>\\]{0,64}"
    r"(?:token|key|secret|password|passwd|pwd|passphrase|sig|signature|auth|authorization|credentials?|jwt|session)"
    r"(?:\]|%5d)?=)[^&;#\s\"'<>\\]+",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """`text` with three stars for the password of every address in it, and for each value in the address's query or fragment.

    The names in a query stay, since they help to correct it. Of a path without a host only what is named like a secret is
    hidden, and of an API key everything but its id, at any place.
    """
    # Every log line passes here and few contain an address: a search takes longer than writing the line.
    if "mt_" in text:
        text = _API_KEY.sub(r"\g<before>***", text)
    if "?" in text and "=" in text:
        text = _SECRET.sub(r"\g<before>***", text)
    if "://" not in text:
        return text
    text = _WEB_USER.sub(r"\g<before>***", _PASSWORD.sub(r"\g<before>***", text))
    return _BEHIND.sub(lambda found: found["before"] + _VALUE.sub(r"\g<before>***", found["behind"]), text)
