"""Starts runs from Python, and waits for their results."""

from mousetrap.client.async_client import AsyncClient
from mousetrap.client.backend import Backend, Begun, Message, Repetition, Submission
from mousetrap.client.broker import Pipelines
from mousetrap.client.client import Client, Handle
from mousetrap.client.core import Submitted
from mousetrap.client.errors import (
    ApiRefused,
    ClientClosed,
    ResultLeftOut,
    RunCancelled,
    RunExpired,
    RunFailed,
    RunNotCompleted,
    UnknownPipeline,
    UnknownRun,
    WaitTimeout,
)
from mousetrap.client.handle import AsyncHandle
from mousetrap.known_pipelines import NoTaker
from mousetrap.pipeline import TopicInvalid
from mousetrap.submit_run import StartOptions

__all__ = [
    "ApiRefused",
    "AsyncClient",
    "AsyncHandle",
    "Backend",
    "Begun",
    "Client",
    "ClientClosed",
    "Handle",
    "Message",
    "NoTaker",
    "Pipelines",
    "Repetition",
    "ResultLeftOut",
    "RunCancelled",
    "RunExpired",
    "RunFailed",
    "RunNotCompleted",
    "StartOptions",
    "Submission",
    "Submitted",
    "TopicInvalid",
    "UnknownPipeline",
    "UnknownRun",
    "WaitTimeout",
]
