"""The lines of a stack's programs, and its welcome."""

import asyncio
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from mousetrap.cli.output import terminal
from mousetrap.cli.up import Use, line_printer, served_beside, welcome
from mousetrap.local_stack import Plan
from mousetrap.pipeline import write_manifests
from mousetrap.settings import Settings
from mousetrap.shapes import Pipeline, Stage
from mousetrap.signing import Keyring
from mousetrap.worker_registry import Published, open_registry
from support.api_server import serving
from support.heartbeats import a_heartbeat
from support.published import a_pipeline


def test_each_program_has_its_name_in_front_however_many_there_are() -> None:
    out = StringIO()
    names = [f"worker-{number}" for number in range(12)]
    print_line = line_printer(terminal(out, width=80), names)

    for name in names:
        print_line(name, "ready")

    assert out.getvalue().splitlines() == [f"{name:<9} ready" for name in names]


def test_a_stack_without_a_sample_has_a_welcome_too() -> None:
    plan = Plan(embedded=True, api_url="http://127.0.0.1:8000", sample=None, variables={})

    lines = list(welcome(plan, Path("/data"), Use((), "count"), keys=False, pages=True))

    assert "  mousetrap run PIPELINE" in lines
    assert "  mousetrap worker count --concurrency 4" in lines
    assert not any("curl" in line for line in lines)


def test_the_welcome_names_the_pipelines_of_the_targets_and_how_to_start_each() -> None:
    plan = Plan(embedded=True, api_url="http://127.0.0.1:8000", sample=None, variables={})
    inputs: list[dict[str, Any]] = [
        {"type": "string"},
        {"$ref": "#/$defs/Page", "$defs": {"Page": {"type": "object", "required": ["url"]}}},
        {"$ref": "#/$defs/Feed", "$defs": {"Feed": {"type": "object", "properties": {}, "required": []}}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {},
    ]
    pipelines = [
        Pipeline(
            name=f"p{number}",
            description="",
            stages=(Stage(name="s", queue="q", input=schema, output={}),),
        )
        for number, schema in enumerate(inputs)
    ]

    lines = list(welcome(plan, Path("/data"), Use(pipelines, "shop.py"), keys=False, pages=True))

    assert lines[5:11] == [
        """  mousetrap run p0 --input '"text"'""",
        "  mousetrap run p1 --input JSON",
        "  mousetrap run p2",
        "  mousetrap run p3 --input JSON",
        "  mousetrap run p4 --input JSON",
        "  mousetrap worker shop.py --concurrency 4",
    ]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (False, "The dashboard is at http://127.0.0.1:8000/ui."),
        (True, "The dashboard is at http://127.0.0.1:8000/ui, for a key of the API."),
    ],
)
def test_the_welcome_names_the_dashboard_where_there_is_one(keys: bool, line: str) -> None:
    plan = Plan(embedded=True, api_url="http://127.0.0.1:8000", sample=None, variables={})

    assert line in welcome(plan, Path("/data"), Use((), "count"), keys=keys, pages=True)
    without = welcome(plan, Path("/data"), Use((), "count"), keys=keys, pages=False)
    assert not any("dashboard" in line for line in without)


async def test_pipelines_of_workers_that_the_api_has_not_looked_for_yet_are_named_too(store_url: str) -> None:
    with serving(Settings(broker_url=store_url, store_url=store_url)) as url:
        long, short = a_pipeline("long"), a_pipeline("short", queue="lines")
        short = replace(short, stages=short.stages[:1])
        manifests = write_manifests({"short": short, "long": long})
        published = Published.of(manifests, Keyring())
        async with open_registry(store_url, published=published) as registry:
            stages = ("earthquakes.fetch", "short.count", "long.count", "long.keep")
            await registry.beat(replace(a_heartbeat("w1"), stages=stages))

        found = await asyncio.to_thread(served_beside, url)

    assert [pipeline.name for pipeline in found] == ["long", "short"]
