"""Runs a private Valkey server from the copy that pip installs."""

from mousetrap.embedded_valkey.executable import find_executable
from mousetrap.embedded_valkey.server import EmbeddedValkey, EmbeddedValkeyFailed, running_server

__all__ = ["EmbeddedValkey", "EmbeddedValkeyFailed", "find_executable", "running_server"]
