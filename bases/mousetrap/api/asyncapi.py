"""Describes all queues and their messages as an AsyncAPI document."""

from collections.abc import Iterator, Mapping
from typing import Any

from mousetrap.api.contract_schemas import ContractSchemas
from mousetrap.api.draft_07 import draft_07
from mousetrap.jobs import HEADER_PREFIX, JobHead, dead_queue
from mousetrap.pipeline import Counted, Pipeline, Stage, edge_of, fallbacks, predecessors
from mousetrap.signing import HEADER

Json = dict[str, Any]

_ABOUT = """Every queue of the pipelines that this server and the workers have, and what a message in it is.

A message is bytes: the letter M, the head as JSON on one line, a line feed, and the payload. Here it is an object of these two.
The payload is JSON, or what the serializer wrote that the head names; it is empty where the head has a reference to it. Messages of
formats before 5, which are still read, are one JSON object.

To start a run, use HTTP or a client: they record it as well, which a message alone does not. Waiting queues, from which messages go
on by themselves, and topics are not listed."""
_JOBS = "Jobs of these stages that wait for a worker."
_DEAD = "Jobs that were given up, until they are redriven or discarded."
_TEXT: Json = {"type": "string"}
#: Headers that giving a job up adds.
_STORY = ("reason", "error-type", "error", "attempts", "queue", "worker", "at", "traceback", "run", "stage")


def asyncapi(pipelines: Mapping[str, Pipeline], version: str, *, on_rabbitmq: bool) -> Json:
    """The document (AsyncAPI 3.0.0); `version` is that of the interface that has it."""
    document = _Document(on_rabbitmq)
    for name in sorted(pipelines):
        document.add(pipelines[name])
    schemas = {name: draft_07(each) for name, each in document.contracts.components.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Mousetrap", "version": version, "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": document.channels,
        "operations": document.operations,
        "components": {"messages": document.messages, "schemas": schemas},
    }


class _Document:
    """Collects the parts, pipeline by pipeline."""

    def __init__(self, on_rabbitmq: bool) -> None:
        self._on_rabbitmq = on_rabbitmq
        self.contracts = ContractSchemas()
        self._head = self.contracts.add(JobHead)
        self.channels: dict[str, Json] = {}
        self.operations: Json = {}
        self.messages: Json = {}

    def add(self, pipeline: Pipeline) -> None:
        """A pipeline's messages, its queues, and what workers do with both."""
        senders = dict(_senders(pipeline))
        for stage in pipeline.stages:
            job, which = f"{pipeline.name}.{stage.name}", f"stage {stage.name} of {pipeline.name}"
            letter, dead = f"{job}.dead", dead_queue(stage.queue)
            self.messages[job] = self._message(stage, f"A job of {which}", {})
            self.messages[letter] = self._message(
                stage, f"A dead letter of {which}", {f"{HEADER_PREFIX}{name}": _TEXT for name in _STORY}
            )
            self._channel(stage.queue, job, _JOBS)
            self._channel(dead, letter, _DEAD)
            self._operation("send", stage.queue, job, senders[stage.name])
            self._operation("receive", stage.queue, job, f"A worker does a job of {which}.")
            self._operation("send", dead, letter, f"A worker gives up a job of {which}.")

    def _message(self, stage: Stage, title: str, headers: Json) -> Json:
        payload = self.contracts.add(Counted if edge_of(stage.after) == "gather" else stage.input)
        return {
            "title": title,
            "headers": {"type": "object", "properties": {HEADER: _TEXT, **headers}},
            "payload": {
                "type": "object",
                "properties": {"head": self._head, "payload": draft_07(payload)},
                "required": ["head"],
            },
            "correlationId": {"location": "$message.payload#/head/run_id", "description": "The run."},
        }

    def _channel(self, queue: str, message: str, about: str) -> None:
        channel = self.channels.setdefault(queue, {"address": queue, "description": about, "messages": {}})
        channel["messages"][message] = {"$ref": f"#/components/messages/{message}"}
        if self._on_rabbitmq:
            kept = {"name": queue, "durable": True, "exclusive": False, "autoDelete": False}
            channel["bindings"] = {"amqp": {"is": "queue", "queue": kept}}

    def _operation(self, action: str, queue: str, message: str, about: str) -> None:
        binding = {"deliveryMode": 2, "mandatory": True} if action == "send" else {"ack": True}
        self.operations[f"{action}.{message}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{queue}"},
            "messages": [{"$ref": f"#/channels/{queue}/messages/{message}"}],
            "summary": about,
            **({"bindings": {"amqp": binding}} if self._on_rabbitmq else {}),
        }


def _senders(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """What sends the jobs of each stage, by its name."""
    before = predecessors(pipeline.stages)
    failing = fallbacks(pipeline.stages)
    for stage in pipeline.stages:
        follows = f"Sent when a job of {' or '.join(before[stage.name])} is done"
        given_up = " or ".join(name for name, to in failing.items() if to == stage.name)
        match edge_of(stage.after):
            case _ if stage is pipeline.first:
                yield stage.name, "Sent when a run is submitted."
            case _ if given_up:
                yield stage.name, f"Sent when a job of {given_up} is given up."
            case "each":
                yield stage.name, f"{follows}: one for each item."
            case "gather" | "join":
                yield stage.name, f"Sent when all jobs of {' and '.join(before[stage.name])} have ended."
            case _:
                yield stage.name, f"{follows}."
