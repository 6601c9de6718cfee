"""Describes each pipeline in the OpenAPI document, with its contracts."""

import copy
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from fastapi import FastAPI

from mousetrap.api.problems import ProblemDocument
from mousetrap.pipeline import ContractBroken, Pipeline, read

#: Keeps the names of contracts apart from those of our own answers.
_PREFIX = "contract."

Json = dict[str, Any]


def describe(app: FastAPI, pipelines: Mapping[str, Pipeline], defaults: Mapping[str, bytes]) -> None:
    """Replaces the framework's description of `app`; it is made once, at the first request for it.

    `defaults` are the inputs by pipeline that an empty body means.
    """
    app.openapi = partial(_described, app, app.openapi, pipelines, defaults)  # type: ignore[method-assign]


def expand(description: Json, pipelines: Mapping[str, Pipeline], defaults: Mapping[str, bytes]) -> Json:
    """`description` with the contracts of all pipelines, and each path with {pipeline} in it once for each."""
    contracts, components = _schemas(pipelines)
    paths: Json = {}
    for path, operations in description["paths"].items():
        if "{pipeline}" not in path:
            paths[path] = operations
            continue
        for name, pipeline in pipelines.items():
            paths[path.replace("{pipeline}", name)] = {
                method: _of(pipeline, operation, contracts, defaults.get(name, b"{}"))
                for method, operation in operations.items()
            }
    schemas = {**description["components"]["schemas"], **components}
    return {**description, "paths": paths, "components": {**description["components"], "schemas": schemas}}


def _described(
    app: FastAPI, by_framework: Any, pipelines: Mapping[str, Pipeline], defaults: Mapping[str, bytes]
) -> Json:
    if app.openapi_schema is None:
        description = expand(by_framework(), pipelines, defaults)
        description["components"]["schemas"]["Problem"] = ProblemDocument.model_json_schema() | {
            "title": "Problem"
        }
        app.openapi_schema = description
    return app.openapi_schema


def _schemas(pipelines: Mapping[str, Pipeline]) -> tuple[Mapping[Any, Json], Json]:
    """The schema of each contract, and the components that these refer to."""
    stages = [stage for pipeline in pipelines.values() for stage in pipeline.stages]
    contracts = [contract for stage in stages for contract in (stage.input, stage.output)]
    schemas, components = msgspec.json.schema_components(
        contracts, ref_template=f"#/components/schemas/{_PREFIX}{{name}}"
    )
    named = {_PREFIX + name: schema for name, schema in components.items()}
    return dict(zip(contracts, schemas, strict=True)), named


def _of(pipeline: Pipeline, general: Json, contracts: Mapping[Any, Json], default: bytes) -> Json:
    operation = copy.deepcopy(general)
    operation["operationId"] += f"_{pipeline.name}"
    operation["summary"] += f": {pipeline.name}"
    operation["parameters"] = [each for each in operation["parameters"] if each["name"] != "pipeline"]
    if "202" in operation["responses"]:
        body = {"schema": contracts[pipeline.first.input], **_example(pipeline.first.input, default)}
        operation["requestBody"] = {"content": {"application/json": body}}
    else:
        result = {"schema": contracts[pipeline.stages[-1].output]}
        operation["responses"]["200"]["content"] = {"application/json": result}
    return operation


def _example(contract: Any, default: bytes) -> Json:
    """The example that an empty body means, where the contract takes one."""
    with suppress(ContractBroken):
        return {"example": msgspec.to_builtins(read(default, contract))}
    return {}
