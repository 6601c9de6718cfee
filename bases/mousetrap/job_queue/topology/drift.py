"""Says which queue stands on the broker with other arguments than this process wants, and how to mend that."""

import re

#: RabbitMQ names the first argument that differs, and gives both values bare where their types are the same.
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']*)' for (?P<kind>queue|exchange) '(?P<name>.*)' in vhost '.*': "
    r"received (?P<wanted>.*) but current is (?P<stands>.*)"
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
    """What the broker's `text` says of a queue's or an exchange's arguments, in our words; None if it speaks of other things."""
    found = _INEQUIVALENT.search(text)
    if found is None:
        return None
    kind, name, argument = found["kind"], found["name"], found["argument"]
    stands = f"{kind} {name!r} stands with {argument} {_value(found['stands'])}, and this process wants {_value(found['wanted'])}"
    setting = _SETTINGS.get(argument)
    same = f"give every process the {setting} that it was made with, or " if setting else ""
    if setting == _MAX_BYTES and _value(found["stands"]) == "none":
        # What an installation meets that is older than this bound.
        same = f"give every process {setting}=0, which is how it was made, or "
    return f"{stands}: {same}make it anew without losing a message, as docs/upgrading.md says"


def _value(said: str) -> str:
    found = _VALUE.fullmatch(said)
    return found[1] if found else said
