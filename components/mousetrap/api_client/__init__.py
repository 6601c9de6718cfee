"""The API from Python: requests, replies, and the events of a run."""

from mousetrap.api_client.client import Api
from mousetrap.api_client.errors import CommandFailed, Misused, UnknownRun, Unreachable
from mousetrap.api_client.filters import LetterFilter
from mousetrap.api_client.follow import follow
from mousetrap.api_client.reply import Reply

__all__ = ["Api", "CommandFailed", "LetterFilter", "Misused", "Reply", "UnknownRun", "Unreachable", "follow"]
