"""Describes each pipeline in the OpenAPI document, with its contracts."""

import copy
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from fastapi import FastAPI

from mousetrap.api.contract_schemas import ContractSchemas
from mousetrap.api.problems import ProblemDocument
from mousetrap.pipeline import ContractBroken, Pipeline, read, write

Json = dict[str, Any]


def describe(app: FastAPI, pipelines: Mapping[str, Pipeline], defaults: Mapping[str, bytes]) -> None:
    """Replaces the framework's description of `app`; it is made at a request for it, and again when the pipelines changed.

    `defaults` are the inputs by pipeline that an empty body means.
    """
    app.openapi = partial(_described, app, app.openapi, pipelines, defaults)  # type: ignore[method-assign]


def expand(description: Json, pipelines: Mapping[str, Pipeline], defaults: Mapping[str, bytes]) -> Json:
    """`description` with the contracts of all pipelines, and each path with {pipeline} in it once for each."""
    contracts = ContractSchemas()
    for stage in (stage for pipeline in pipelines.values() for stage in pipeline.stages):
        contracts.add(stage.input)
        contracts.add(stage.output)
    paths: Json = {}
    for path, operations in description["paths"].items():
        if "{pipeline}" not in path or not pipelines:
            paths[path] = operations
            continue
        for name, pipeline in pipelines.items():
            paths[path.replace("{pipeline}", name)] = {
                method: _of(pipeline, operation, contracts, defaults.get(name, b"{}"))
                for method, operation in operations.items()
            }
    schemas = {**description["components"]["schemas"], **contracts.components}
    return {**description, "paths": paths, "components": {**description["components"], "schemas": schemas}}


def _described(
    app: FastAPI, by_framework: Any, pipelines: Mapping[str, Pipeline], defaults: Mapping[str, bytes]
) -> Json:
    now = tuple(pipelines.values())
    if app.openapi_schema is None or app.state.described != now:
        app.openapi_schema = None  # the framework returns its own where there is one
        description = expand(by_framework(), pipelines, defaults)
        description["components"]["schemas"]["Problem"] = ProblemDocument.model_json_schema() | {
            "title": "Problem"
        }
        app.openapi_schema, app.state.described = description, now
    return app.openapi_schema


def _of(pipeline: Pipeline, general: Json, contracts: ContractSchemas, default: bytes) -> Json:
    operation = copy.deepcopy(general)
    operation["operationId"] += f"_{pipeline.name}"
    operation["summary"] += f": {pipeline.name}"
    operation["parameters"] = [each for each in operation["parameters"] if each["name"] != "pipeline"]
    if "202" in operation["responses"]:
        contract = pipeline.first.input
        body = {"schema": contracts.add(contract), **_example(contract, default)}
        operation["requestBody"] = {"content": {"application/json": body}}
    elif operation["operationId"].startswith("start_batch"):
        line = operation["requestBody"]["content"]["application/x-ndjson"]["schema"]
        line["properties"]["input"] = contracts.add(pipeline.first.input)
    elif operation["operationId"].startswith("show_latest"):
        result = {"schema": contracts.add(pipeline.result)}
        operation["responses"]["200"]["content"] = {"application/json": result}
    return operation


def _example(contract: Any, default: bytes) -> Json:
    """The example that an empty body means, where the contract takes one."""
    with suppress(ContractBroken):
        return {"example": msgspec.json.decode(write(read(default, contract), contract))}
    return {}
