"""Writes and reads the packed records of runs of wire format 5."""
