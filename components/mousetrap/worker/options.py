"""How much a worker does at once, and how patient it is."""

from dataclasses import dataclass, field

from mousetrap.retry import encodable
from mousetrap.signing import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """A worker's numbers; the defaults suit handlers that wait more than they compute."""

    #: Unique among all workers; it stands in every timeline.
    name: str
    #: Jobs that run at once.
    concurrency: int = 10
    #: Messages taken from each queue before one of them is settled.
    prefetch: int = 20
    #: Seconds that a claim is good for; it is renewed each third of that.
    lease: float = 30.0
    #: Seconds to finish what runs, once told to stop.
    grace: float = 25.0
    #: Whether to end when the queues are empty.
    burst: bool = False
    keyring: Keyring = field(default_factory=Keyring)

    def __post_init__(self) -> None:
        # It goes to the store and the broker, and can hold the name of a host that is no text.
        object.__setattr__(self, "name", encodable(self.name))
