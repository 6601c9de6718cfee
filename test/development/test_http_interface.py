"""Each change that breaks a client is found; additions are none."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from http_interface import RELEASED, breaks, described

Json = dict[str, Any]

#: What breaks clients of the last release on purpose. Any needs another major part of the version and a row in docs/upgrading.md; a release
#: leaves none.
ON_PURPOSE: tuple[str, ...] = ("POST /dead/redrive: its answer 200 is removed",)


def document() -> Json:
    """An interface of one path."""
    state = {"type": "string", "enum": ["queued", "done"]}
    run = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "state": state, "note": {"type": "string"}},
        "required": ["id", "state"],
    }
    order = {
        "type": "object",
        "properties": {"input": {}, "delay": {"type": "number", "minimum": 0}, "mode": state},
        "required": ["input"],
    }
    return {
        "paths": {
            "/runs": {
                "post": {
                    "security": [{"key": ["run"]}],
                    "parameters": [
                        {"in": "query", "name": "wait", "required": False, "schema": {"type": "number"}},
                    ],
                    "requestBody": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}
                    },
                    "responses": {
                        "202": {
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Run"}}}
                        },
                    },
                },
                "get": {"responses": {"200": {"content": {"text/plain": {"schema": {"type": "string"}}}}}},
            }
        },
        "components": {"schemas": {"Run": run, "Order": order}},
    }


def post(new: Json) -> Json:
    operation: Json = new["paths"]["/runs"]["post"]
    return operation


def schema(new: Json, name: str) -> Json:
    found: Json = new["components"]["schemas"][name]
    return found


BREAKS: dict[str, tuple[Callable[[Json], Any], str]] = {
    "a path is removed": (lambda new: new["paths"].pop("/runs"), "GET /runs: it is removed"),
    "a method is removed": (lambda new: new["paths"]["/runs"].pop("get"), "GET /runs: it is removed"),
    "a parameter is removed": (lambda new: post(new)["parameters"].clear(), "parameter wait is removed"),
    "a parameter is narrower": (
        lambda new: post(new)["parameters"][0]["schema"].update(type="integer"),
        "parameter wait, $: number is written, and integer is read",
    ),
    "a parameter is required": (
        lambda new: post(new)["parameters"][0].update(required=True),
        "parameter wait is required",
    ),
    "a new parameter is required": (
        lambda new: post(new)["parameters"].append(
            {"in": "header", "name": "Tenant", "required": True, "schema": {"type": "string"}}
        ),
        "parameter Tenant is required",
    ),
    "a body is required": (lambda new: post(new)["requestBody"].update(required=True), "a body is required"),
    "a kind of body is removed": (
        lambda new: post(new)["requestBody"]["content"].clear(),
        "a body of application/json is not taken any more",
    ),
    "a new member of the body is required": (
        lambda new: schema(new, "Order").update(
            properties={**schema(new, "Order")["properties"], "key": {}}, required=["input", "key"]
        ),
        "$.key: it is required",
    ),
    "a member of the body is refused": (
        lambda new: (
            schema(new, "Order").update(additionalProperties=False),
            schema(new, "Order")["properties"].pop("delay"),
        ),
        "$.delay: it is written, and unknown fields are refused",
    ),
    "a bound of the body is narrower": (
        lambda new: schema(new, "Order")["properties"]["delay"].update(minimum=1),
        "$.delay: minimum is 1",
    ),
    "a fixed value of the body is refused": (
        lambda new: schema(new, "Order")["properties"].update(mode={"type": "string", "enum": ["done"]}),
        '$.mode: the value "queued" is not taken any more',
    ),
    "an answer is removed": (
        lambda new: post(new).update(responses={"200": post(new)["responses"]["202"]}),
        "its answer 202 is removed",
    ),
    "an answer is of another kind": (
        lambda new: new["paths"]["/runs"]["get"]["responses"]["200"].update(content={"text/html": {}}),
        "its answer 200 is no text/plain any more",
    ),
    "a member of an answer is removed": (
        lambda new: schema(new, "Run").update(
            properties={"id": {"type": "string"}, "note": {"type": "string"}}, required=["id"]
        ),
        "$.state of the answer: it is required, and is not always written",
    ),
    "a member of an answer that may be left out is removed": (
        lambda new: schema(new, "Run")["properties"].pop("note"),
        "$.note of the answer: it is required, and is not always written",
    ),
    "a member of an answer may be left out": (
        lambda new: schema(new, "Run").update(required=["id"]),
        "$.state of the answer: it is required, and is not always written",
    ),
    "a member of an answer has another type": (
        lambda new: schema(new, "Run")["properties"].update(id={"type": "integer"}),
        "$.id of the answer: integer is written, and string is read",
    ),
    "a scope more is asked for": (
        lambda new: post(new).update(security=[{"key": ["run", "operate"]}]),
        'it asks for more than {"key": ["run"]}',
    ),
    "a key is asked for": (
        lambda new: new["paths"]["/runs"]["get"].update(security=[{"key": ["read"]}]),
        "it asks for more than {}",
    ),
}

ADDITIONS: dict[str, Callable[[Json], Any]] = {
    "nothing": lambda new: None,
    "a path": lambda new: new["paths"].update({"/queues": new["paths"]["/runs"]}),
    "a parameter": lambda new: post(new)["parameters"].append(
        {"in": "query", "name": "tag", "required": False, "schema": {"type": "string"}}
    ),
    "a wider parameter": lambda new: post(new)["parameters"][0].update(
        schema={"anyOf": [{"type": "number"}, {"type": "null"}]}
    ),
    "a member of the body": lambda new: schema(new, "Order")["properties"].update(key={"type": "string"}),
    "an answer": lambda new: post(new)["responses"].update({"200": {}}),
    "a member of an answer": lambda new: schema(new, "Run").update(
        properties={**schema(new, "Run")["properties"], "tags": {"type": "array"}},
        required=["id", "state", "tags"],
    ),
    "a state": lambda new: schema(new, "Run")["properties"].update(
        state={"type": "string", "enum": ["queued", "done", "paused"]}
    ),
    "another way to show who calls": lambda new: post(new)["security"].append({"session": []}),
    "a description": lambda new: schema(new, "Run").update(description="A run.", title="Run"),
}


@pytest.mark.parametrize("change", BREAKS)
def test_a_break_is_found(change: str) -> None:
    new = copy.deepcopy(document())
    alter, expected = BREAKS[change]
    alter(new)

    found = breaks(document(), new)

    assert any(expected in each for each in found), found


@pytest.mark.parametrize("change", ADDITIONS)
def test_an_addition_breaks_nothing(change: str) -> None:
    new = copy.deepcopy(document())
    ADDITIONS[change](new)

    assert breaks(document(), new) == []


def test_a_client_of_the_last_release_can_use_this_version_but_for_what_its_major_part_stands_for() -> None:
    released, now = json.loads(RELEASED.read_text()), described()

    found = breaks(released, now)

    assert found == list(ON_PURPOSE)
    before, after = (each["info"]["version"].partition(".")[0] for each in (released, now))
    assert not found or before != after


def test_an_interface_that_changed_since_the_last_release_has_another_version() -> None:
    released, now = json.loads(RELEASED.read_text()), described()

    changed = breaks(released, now) or breaks(
        now, released
    )  # what is new breaks those who have it and meet the old one
    assert not changed or released["info"]["version"] != now["info"]["version"], (
        "raise INTERFACE_VERSION in bases/mousetrap/api/version.py: its minor part for additions"
    )
