"""Lists the errors that end by themselves."""

from mousetrap.jobs import PublishUnconfirmed, QueueFull, QueueUnreachable, StoreFull, StoreUnreachable
from mousetrap.retry import Outage
from mousetrap.submit_run import DeadLettersFull

OUTAGES: tuple[type[Exception], ...] = (
    *(Outage, QueueUnreachable, PublishUnconfirmed, QueueFull),
    *(StoreUnreachable, StoreFull, DeadLettersFull),
)
