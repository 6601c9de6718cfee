"""What a catalogue lists, and how the things that it names are imported."""

from mousetrap.catalogue_entries.entries import OpenSample, Sample, Worker
from mousetrap.catalogue_entries.load import load

__all__ = ["OpenSample", "Sample", "Worker", "load"]
