"""The simulated machines: clock, broker, store server, processes."""
