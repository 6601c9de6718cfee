"""The peers: a package each, in an environment of its own."""
