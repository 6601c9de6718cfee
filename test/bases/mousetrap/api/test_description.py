"""The OpenAPI document has each pipeline's contracts, and each path's errors."""

from typing import Any

import httpx
import msgspec
import pytest

from mousetrap.api.description import expand
from mousetrap.earthquakes import EARTHQUAKES
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.settings import Settings
from support.catalogue_app import catalogue_app


class Order(msgspec.Struct):
    """An order, which has no defaults."""

    number: int


ORDERS = Pipeline(
    name="orders",
    description="Counts orders.",
    stages=(Stage(name="count", queue="count", input=Order, output=int),),
)


@pytest.fixture
def description() -> dict[str, Any]:
    return catalogue_app(Settings()).openapi()


def references(part: Any) -> set[str]:
    """Everything that a part of a description refers to."""
    if isinstance(part, list):
        return {found for each in part for found in references(each)}
    if not isinstance(part, dict):
        return set()
    own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
    return own | references(list(part.values()))


def test_starting_a_run_is_described_with_the_contract_and_its_defaults(description: dict[str, Any]) -> None:
    operation = description["paths"]["/pipelines/earthquakes/runs"]["post"]

    body = operation["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/contract.FeedRequest"}
    assert body["example"]["url"].startswith("https://earthquake.usgs.gov/")
    assert {parameter["name"] for parameter in operation["parameters"]} == {
        *("run_id", "delay", "at", "expires_in", "tags", "priority", "wait"),
        "Idempotency-Key",
    }
    assert {"200", "202", "401", "403", "404", "409", "413", "422", "503"} <= set(operation["responses"])


def test_a_batch_is_described_by_its_lines_with_the_contract(description: dict[str, Any]) -> None:
    operation = description["paths"]["/pipelines/earthquakes/batch"]["post"]

    line = operation["requestBody"]["content"]["application/x-ndjson"]["schema"]
    assert line["properties"]["input"] == {"$ref": "#/components/schemas/contract.FeedRequest"}
    assert set(line["properties"]) == {
        "input",
        "id",
        "unique",
        "delay",
        "at",
        "expires_in",
        "tags",
        "priority",
    }
    assert line["additionalProperties"] is False
    assert list(operation["responses"]["200"]["content"]) == ["application/x-ndjson"]


def test_the_latest_result_is_described_with_the_last_contract(description: dict[str, Any]) -> None:
    answers = description["paths"]["/pipelines/earthquakes/latest"]["get"]["responses"]

    schema = answers["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/contract.Summary"}


def test_whatever_is_referred_to_is_there(description: dict[str, Any]) -> None:
    schemas = {f"#/components/schemas/{name}" for name in description["components"]["schemas"]}

    assert references(description) <= schemas


def test_every_error_is_described_as_a_problem(description: dict[str, Any]) -> None:
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                if status == "default" or status >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], (method, path, status)


def test_operations_have_names_of_their_own(description: dict[str, Any]) -> None:
    names = [it["operationId"] for operations in description["paths"].values() for it in operations.values()]

    assert len(set(names)) == len(names)
    assert {"start_run_earthquakes", "show_run", "follow_run"} <= set(names)


def test_each_pipeline_has_a_path_of_its_own() -> None:
    by_framework: dict[str, Any] = {
        "paths": {
            "/pipelines/{pipeline}/runs": {
                "post": {
                    "operationId": "start_run",
                    "summary": "Start Run",
                    "parameters": [{"name": "pipeline"}, {"name": "run_id"}],
                    "responses": {"202": {}},
                }
            },
            "/runs": {"get": {}},
        },
        "components": {"schemas": {"Run": {}}},
    }

    expanded = expand(by_framework, {"earthquakes": EARTHQUAKES, "orders": ORDERS}, {})

    assert set(expanded["paths"]) == {"/pipelines/earthquakes/runs", "/pipelines/orders/runs", "/runs"}
    orders = expanded["paths"]["/pipelines/orders/runs"]["post"]
    assert orders["requestBody"]["content"]["application/json"] == {
        "schema": {"$ref": "#/components/schemas/contract.Order"}
    }
    assert orders["parameters"] == [{"name": "run_id"}]
    assert {"Run", "contract.Order", "contract.Summary"} <= set(expanded["components"]["schemas"])
    assert by_framework["paths"]["/pipelines/{pipeline}/runs"]["post"]["operationId"] == "start_run"


def test_the_description_and_its_page_are_served(api: httpx.Client) -> None:
    assert api.get("/openapi.json").json()["info"]["title"] == "Mousetrap"
    assert "openapi.json" in api.get("/docs").text
