"""Declares what the suite needs of a broker or a cluster."""

from typing import Protocol


class Controlled(Protocol):
    """A broker that obeys us."""

    def rabbitmqctl(self, *arguments: str) -> str:
        """What the command printed."""
        ...
