"""The shapes that store, API and client share."""

from mousetrap.shapes.about import About, SettingShown, StoreUsed, Used
from mousetrap.shapes.audit import AuditEntry, AuditPage
from mousetrap.shapes.control import Pause, QueuePause, WorkerAsked, WorkerRequest
from mousetrap.shapes.doc import Doc
from mousetrap.shapes.failure import Failure, FailureLine
from mousetrap.shapes.job import Attempt, Fan, JobLine, JobPage, JobState
from mousetrap.shapes.letter import (
    Discarded,
    Letter,
    LetterConditions,
    LetterGroup,
    LetterGroups,
    LetterLine,
    LetterNote,
    LetterPage,
    LetterText,
    Redriven,
)
from mousetrap.shapes.limit import Limit, LimitHolder, LimitKey
from mousetrap.shapes.log import LogLine, LogPage
from mousetrap.shapes.minutes import Minute, QueueMinutes, ReadyAt, StageMinutes
from mousetrap.shapes.operation import (
    Operation,
    OperationFailure,
    OperationKind,
    OperationPage,
    OperationState,
)
from mousetrap.shapes.pipeline import Arrow, Pipeline, Stage
from mousetrap.shapes.priority import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY, priority_fault
from mousetrap.shapes.queue import Cluster, Queue, StageLoad
from mousetrap.shapes.reference import Reference
from mousetrap.shapes.run import (
    ENDS,
    Accepted,
    Cancelled,
    Event,
    Progress,
    Published,
    PublishedRun,
    PutAside,
    Run,
    RunConditions,
    RunLine,
    RunPage,
    RunState,
)
from mousetrap.shapes.schedule import Backfilled, PastTick, Schedule, SchedulePage, SchedulePause, Tick
from mousetrap.shapes.waiting import Reason, Waiting, WaitsFor
from mousetrap.shapes.worker import BEAT_S, Beat, Doing, Worker, WorkerState

__all__ = [
    "BEAT_S",
    "DEFAULT_PRIORITY",
    "ENDS",
    "HIGHEST_PRIORITY",
    "LOWEST_PRIORITY",
    "About",
    "Accepted",
    "Arrow",
    "Attempt",
    "AuditEntry",
    "AuditPage",
    "Backfilled",
    "Beat",
    "Cancelled",
    "Cluster",
    "Discarded",
    "Doc",
    "Doing",
    "Event",
    "Failure",
    "FailureLine",
    "Fan",
    "JobLine",
    "JobPage",
    "JobState",
    "Letter",
    "LetterConditions",
    "LetterGroup",
    "LetterGroups",
    "LetterLine",
    "LetterNote",
    "LetterPage",
    "LetterText",
    "Limit",
    "LimitHolder",
    "LimitKey",
    "LogLine",
    "LogPage",
    "Minute",
    "Operation",
    "OperationFailure",
    "OperationKind",
    "OperationPage",
    "OperationState",
    "PastTick",
    "Pause",
    "Pipeline",
    "Progress",
    "Published",
    "PublishedRun",
    "PutAside",
    "Queue",
    "QueueMinutes",
    "QueuePause",
    "ReadyAt",
    "Reason",
    "Redriven",
    "Reference",
    "Run",
    "RunConditions",
    "RunLine",
    "RunPage",
    "RunState",
    "Schedule",
    "SchedulePage",
    "SchedulePause",
    "SettingShown",
    "Stage",
    "StageLoad",
    "StageMinutes",
    "StoreUsed",
    "Tick",
    "Used",
    "Waiting",
    "WaitsFor",
    "Worker",
    "WorkerAsked",
    "WorkerRequest",
    "WorkerState",
    "priority_fault",
]
