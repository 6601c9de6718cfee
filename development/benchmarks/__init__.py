"""Measures Mousetrap beside its peers, on one broker, in turns; `python -m benchmarks` runs it all."""
