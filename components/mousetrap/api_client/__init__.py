"""The API from Python: requests, replies, and the events of a run."""

from mousetrap.api_client.client import Api
from mousetrap.api_client.credentials import authorization, may_use_proxy
from mousetrap.api_client.errors import CommandFailed, Misused, RunEnded, UnknownRun, Unreachable
from mousetrap.api_client.event_stream import EventReader
from mousetrap.api_client.filters import JobFilter, LetterFilter, RunFilter
from mousetrap.api_client.follow import follow
from mousetrap.api_client.problems import Problem, read_problem
from mousetrap.api_client.reply import Reply
from mousetrap.api_client.starts import BatchReply, StartOptions

__all__ = [
    "Api",
    "BatchReply",
    "CommandFailed",
    "EventReader",
    "JobFilter",
    "LetterFilter",
    "Misused",
    "Problem",
    "Reply",
    "RunEnded",
    "RunFilter",
    "StartOptions",
    "UnknownRun",
    "Unreachable",
    "authorization",
    "follow",
    "may_use_proxy",
    "read_problem",
]
