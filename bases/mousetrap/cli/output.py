"""Prints what programs read."""

import msgspec


def print_json(raw: bytes) -> None:
    """JSON, a field a line."""
    print(msgspec.json.format(raw, indent=2).decode())
