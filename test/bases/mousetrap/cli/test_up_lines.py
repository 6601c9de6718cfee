"""The lines of a stack's programs, and its welcome."""

from io import StringIO
from pathlib import Path
from typing import Any

from mousetrap.cli.output import terminal
from mousetrap.cli.up import Use, line_printer, welcome
from mousetrap.local_stack import Plan
from mousetrap.shapes import Pipeline, Stage


def test_each_program_has_its_name_in_front_however_many_there_are() -> None:
    out = StringIO()
    names = [f"worker-{number}" for number in range(12)]
    print_line = line_printer(terminal(out, width=80), names)

    for name in names:
        print_line(name, "ready")

    assert out.getvalue().splitlines() == [f"{name:<9} ready" for name in names]


def test_a_stack_without_a_sample_has_a_welcome_too() -> None:
    plan = Plan(embedded=True, api_url="http://127.0.0.1:8000", sample=None, variables={})

    lines = list(welcome(plan, Path("/data"), Use((), "count"), keys=False))

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

    lines = list(welcome(plan, Path("/data"), Use(pipelines, "shop.py"), keys=False))

    assert lines[4:10] == [
        """  mousetrap run p0 --input '"text"'""",
        "  mousetrap run p1 --input JSON",
        "  mousetrap run p2",
        "  mousetrap run p3 --input JSON",
        "  mousetrap run p4 --input JSON",
        "  mousetrap worker shop.py --concurrency 4",
    ]
