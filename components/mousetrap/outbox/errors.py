"""What can be wrong with an outbox, with advice."""

from mousetrap.jobs import MousetrapError


class OutboxUnreachable(MousetrapError):
    """The outbox's database is away, locked, full or shutting down: it is waited for."""


class OutboxRefused(MousetrapError):
    """The outbox's database answers and refuses, most often because the table is missing: waiting does not help."""


class PipelineUnknown(MousetrapError):
    """No live worker has the pipeline, and neither has this process: start a worker that has it."""


class RowUnreadable(MousetrapError):
    """A row of the outbox is not what `submit_on_commit` writes."""
