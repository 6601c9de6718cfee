"""Measures Mousetrap beside its peers, on one broker, in turns."""
