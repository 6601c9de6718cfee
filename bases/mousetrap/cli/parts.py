"""Takes from the catalogue what a stack is made of."""

from mousetrap.catalogue import SAMPLE, SETTINGS, WORKERS
from mousetrap.catalogue_entries import load
from mousetrap.local_stack import Parts


def catalogue_parts() -> Parts:
    """The workers, the settings and the sample of the catalogue."""
    return Parts(workers=WORKERS, groups=SETTINGS, sample=load(SAMPLE) if SAMPLE else None)
