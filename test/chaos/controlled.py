"""What the suite asks of a broker, be it one node or three."""

from typing import Protocol


class Controlled(Protocol):
    """A broker that obeys us."""

    def rabbitmqctl(self, *arguments: str) -> str:
        """What the command printed."""
        ...
