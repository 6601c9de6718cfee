"""Explains a queue that exists with other arguments than needed."""

import re

#: RabbitMQ names the first argument that differs, and gives both values bare where their types are the same.
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']*)' for (?P<kind>queue|exchange) '(?P<name>.*)' in vhost '.*': "
    r"received (?P<needed>.*) but current is (?P<current>.*)"
)
_VALUE = re.compile(r"(?:the value )?'(.*?)'(?: of type '\w+')?")

#: The setting that an argument comes from.
_MAX_LENGTH, _TYPE = "MOUSETRAP_QUEUE_MAX_LENGTH", "MOUSETRAP_QUEUE_TYPE"
_MAX_BYTES = "MOUSETRAP_QUEUE_MAX_BYTES"
_SETTINGS = {
    "x-max-length": _MAX_LENGTH,
    "x-max-length-bytes": _MAX_BYTES,
    "x-queue-type": _TYPE,
    "x-queue-leader-locator": _TYPE,
    "x-dead-letter-strategy": _TYPE,
}


def explain_drift(text: str) -> str | None:
    """The cause and the advice for the broker's `text` about different arguments; None for any other text."""
    found = _INEQUIVALENT.search(text)
    if found is None:
        return None
    kind, name, argument = found["kind"], found["name"], found["argument"]
    current, needed = _value(found["current"]), _value(found["needed"])
    setting = _SETTINGS.get(argument)
    same = f"give every process the {setting} that it was declared with, or " if setting else ""
    if setting == _MAX_BYTES and current == "none":
        # The queue is older than this limit.
        same = f"give every process {setting}=0, which is how it was declared, or "
    return (
        f"{kind} {name!r} has {argument} {current}, and this process needs {needed}: "
        f"{same}declare it again without losing a message, as docs/upgrading.md describes"
    )


def _value(text: str) -> str:
    found = _VALUE.fullmatch(text)
    return found[1] if found else text
