"""Writes a notebook that looks into one attempt."""

import msgspec

from mousetrap.repeat_attempt.at_hand import HELP
from mousetrap.repeat_attempt.case import Case
from mousetrap.repeat_attempt.fixture import Fixture
from mousetrap.repeat_attempt.source import job_source, literal_of


def notebook(case: Case, fixture: Fixture) -> bytes:
    """A notebook (format 4.5) whose first cell has the names of `at_hand`; no cell makes the attempt until it is run."""
    literal = literal_of(bytes(case.job.payload)) or repr(bytes(case.job.payload))
    # A notebook has no file of its own; its server runs it in its folder.
    before = [line.replace("Path(__file__).parent", "Path.cwd()") for line in fixture.before]
    imports = [
        *fixture.standard,
        *before,
        *fixture.imports,
        "from mousetrap.jobs import Job",
        "from mousetrap.repeat_attempt import as_json, at_hand",
    ]
    setup = [
        *imports,
        "",
        f"INPUT = {literal}",
        job_source(case.job, "as_json(INPUT)"),
        f"globals().update(at_hand({fixture.expression}, JOB))",
    ]
    cells = [
        ("markdown", f"{_heading(case)}\n\n```\n{HELP}```"),
        ("code", "\n".join(setup)),
        ("code", "input"),
        ("code", "perform()"),
    ]
    return msgspec.json.format(
        msgspec.json.encode(
            {
                "cells": [_cell(number, *cell) for number, cell in enumerate(cells)],
                "metadata": {"language_info": {"name": "python"}},
                "nbformat": 4,
                "nbformat_minor": 5,
            }
        ),
        indent=1,
    )


def _heading(case: Case) -> str:
    job = case.job
    # As code, so that no text of others is read as HTML or a link.
    return (
        f"# Stage `{job.stage}` of run `{job.run_id}`\n\n"
        "The input is what the job carried, and nothing in it is masked: look for secrets before you share this notebook."
    )


def _cell(number: int, kind: str, source: str) -> dict[str, object]:
    run: dict[str, object] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source, **run}
