"""Runs a private Valkey server from pip's own copy, so that nothing else need be installed."""

from mousetrap.embedded_valkey.executable import find_executable
from mousetrap.embedded_valkey.server import EmbeddedValkey, EmbeddedValkeyFailed, running_server

__all__ = ["EmbeddedValkey", "EmbeddedValkeyFailed", "find_executable", "running_server"]
