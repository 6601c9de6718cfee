"""Takes from the catalogue what a stack is made of."""

from mousetrap.catalogue import SAMPLE, WORKERS
from mousetrap.catalogue_entries import load
from mousetrap.local_stack import Parts


def catalogue_parts() -> Parts:
    """The workers and the sample of the catalogue."""
    return Parts(workers=WORKERS, sample=load(SAMPLE) if SAMPLE else None)
