"""The AsyncAPI document has every queue and message, and is valid."""

import gzip
import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
import pytest
from jsonschema_rs import Draft7Validator

from mousetrap.api.asyncapi import asyncapi
from mousetrap.api.draft_07 import draft_07
from mousetrap.catalogue import PIPELINES
from mousetrap.jobs import encode, first_job
from mousetrap.pipeline import (
    All,
    AnyOf,
    Each,
    Fallback,
    Fallen,
    Gathered,
    JsonSchema,
    Many,
    Pipeline,
    Stage,
    manifest_of,
    pipeline_of,
)

#: The specification's own schema: test/asyncapi/README.md.
VALID = Draft7Validator(
    json.loads(gzip.decompress((Path(__file__).parents[3] / "asyncapi/3.0.0.json.gz").read_bytes())),
    validate_formats=True,
)


class Small(msgspec.Struct, tag="small"):
    """A thing."""

    pair: tuple[int, str]


class Large(msgspec.Struct, tag="large"):
    """Another one."""

    code: Annotated[str, msgspec.Meta(pattern="^[a-z]+$")]
    part: Annotated[Small, msgspec.Meta(description="Inside.")] | None = None


GRAPH = Pipeline(
    name="graph",
    description="Has every kind of edge.",
    stages=(
        Stage(name="list", queue="graph_list", input=Small | Large, output=Many[Large], serializer="msgpack"),
        Stage(
            name="look",
            queue="looks",
            input=Large,
            output=int,
            after=Each("list"),
            on_failure=Fallback("guess"),
        ),
        Stage(name="guess", queue="graph_guess", input=Fallen[Large], output=int),
        Stage(
            name="sum", queue="graph_sum", input=Gathered[int], output=int, after=All(AnyOf("look", "guess"))
        ),
    ),
)
ALONE = Pipeline(
    name="look",
    description="A task with a queue that others use.",
    stages=(Stage(name="look", queue="looks", input=JsonSchema({"type": "object", "x-own": 1}), output=int),),
)
BOTH = {"look": ALONE, "graph": GRAPH}


def errors(document: dict[str, Any]) -> list[str]:
    return [f"{error.instance_path}: {error}"[:400] for error in VALID.iter_errors(document)]


def at(document: dict[str, Any], reference: str) -> Any:
    """What a reference into the document names; KeyError where nothing has that name."""
    part: Any = document
    for name in reference.removeprefix("#/").split("/"):
        part = part[name]
    return part


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for each in part.values() for found in references(each)]
    return [found for each in part for found in references(each)] if isinstance(part, list) else []


@pytest.mark.parametrize("on_rabbitmq", [True, False])
@pytest.mark.parametrize("pipelines", [{}, PIPELINES, BOTH], ids=["none", "catalogue", "graph"])
def test_the_document_is_valid_by_the_specification_s_schema(
    pipelines: dict[str, Pipeline], on_rabbitmq: bool
) -> None:
    document = asyncapi(pipelines, "1", on_rabbitmq=on_rabbitmq)

    assert errors(document) == []
    assert all(at(document, each) is not None for each in references(document))
    assert ("amqp" in json.dumps(document)) is (on_rabbitmq and bool(pipelines))


def test_what_is_wrong_is_found() -> None:
    document = asyncapi(BOTH, "1", on_rabbitmq=True)
    document["channels"]["looks"]["adress"] = "looks"

    assert errors(document)


def test_each_queue_and_its_dead_queue_is_a_channel_with_the_messages_of_all_who_use_it() -> None:
    channels = asyncapi(BOTH, "1", on_rabbitmq=True)["channels"]

    queues = {stage.queue for pipeline in BOTH.values() for stage in pipeline.stages}
    assert set(channels) == {*queues, *(f"{queue}.dead" for queue in queues)}
    assert set(channels["looks"]["messages"]) == {"graph.look", "look.look"}
    assert set(channels["looks.dead"]["messages"]) == {"graph.look.dead", "look.look.dead"}
    assert channels["looks"]["bindings"]["amqp"]["queue"]["name"] == "looks"


def test_the_pipelines_of_workers_are_described_as_those_of_this_server() -> None:
    read = {name: pipeline_of(manifest_of(pipeline)) for name, pipeline in BOTH.items()}

    document = asyncapi(read, "1", on_rabbitmq=True)

    assert errors(document) == []
    assert document["channels"] == asyncapi(BOTH, "1", on_rabbitmq=True)["channels"]
    assert document["operations"] == asyncapi(BOTH, "1", on_rabbitmq=True)["operations"]


@pytest.mark.parametrize(
    ("payload", "fits"),
    [
        (b'{"type":"small","pair":[1,"a"]}', True),
        (b'{"type":"large","code":"abc","part":{"type":"small","pair":[1,"a"]}}', True),
        (b'{"type":"small","pair":["a",1]}', False),
        (b'{"type":"large","code":"ABC"}', False),
        (b'{"type":"none"}', False),
    ],
)
def test_a_message_is_as_it_is_described(payload: bytes, fits: bool) -> None:
    document = asyncapi(BOTH, "1", on_rabbitmq=True)
    job = first_job(run_id="r1", pipeline="graph", stage="list", payload=payload, accepted_ms=1)
    head, _, rest = encode(job)[1:].partition(b"\n")

    described = document["components"]["messages"]["graph.list"]["payload"]
    check = Draft7Validator({**described, "components": document["components"]})

    assert check.is_valid({"head": json.loads(head), "payload": json.loads(rest)}) is fits
    assert not check.is_valid({"head": {"v": 5}, "payload": json.loads(rest)})


def test_a_join_s_message_holds_counts_and_not_the_outputs() -> None:
    messages = asyncapi(BOTH, "1", on_rabbitmq=True)["components"]["messages"]

    payload = messages["graph.sum"]["payload"]["properties"]["payload"]
    assert payload == {"$ref": "#/components/schemas/contract.Counted"}


def test_each_operation_names_when_it_happens() -> None:
    operations = asyncapi(BOTH, "1", on_rabbitmq=True)["operations"]

    summaries = {name: each["summary"] for name, each in operations.items() if name.startswith("send.graph")}
    assert summaries["send.graph.list"] == "Sent when a run is submitted."
    assert summaries["send.graph.look"] == "Sent when a job of list is done: one for each item."
    assert summaries["send.graph.guess"] == "Sent when a job of look is given up."
    assert summaries["send.graph.sum"] == "Sent when all jobs of look and guess have ended."
    assert summaries["send.graph.sum.dead"] == "A worker gives up a job of stage sum of graph."


def test_names_that_look_like_keywords_are_left_alone() -> None:
    schema = {
        "properties": {"discriminator": {"type": "string"}, "prefixItems": {}},
        "const": {"prefixItems": [1]},
    }

    assert draft_07(schema) == schema


def test_it_is_served_with_the_version_of_the_interface(api: httpx.Client) -> None:
    document = api.get("/asyncapi.json")

    assert document.status_code == 200
    assert errors(document.json()) == []
    assert "start_fetch" in document.json()["channels"]
    assert document.json()["info"]["version"] == api.get("/openapi.json").json()["info"]["version"]
    assert api.get("/asyncapi.json", params={"a": "b"}).status_code == 422
