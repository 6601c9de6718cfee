"""The entries of a catalogue, and the import of what they name."""

from mousetrap.catalogue_entries.entries import OpenSample, Record, Recorded, Sample, SampleRun, Worker
from mousetrap.catalogue_entries.load import load

__all__ = ["OpenSample", "Record", "Recorded", "Sample", "SampleRun", "Worker", "load"]
