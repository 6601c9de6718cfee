"""Writes a test that makes the attempt of a dead letter again."""

import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime

from mousetrap.repeat_attempt.case import Case
from mousetrap.repeat_attempt.fixture import Fixture
from mousetrap.repeat_attempt.source import WIDTH, job_source, literal_of
from mousetrap.telemetry import one_line

#: The payload, where the test contains it, and where the file beside it does.
_IN_TEST = "as_json(INPUT)"
_IN_FILE = 'msgspec.Raw(Path(__file__).with_suffix(".json").read_bytes())'


@dataclass(frozen=True, slots=True)
class DeadTest:
    """A test's text, and the input to put into the file beside it, `<name>.json`; None where the text contains it."""

    text: str
    input: bytes | None


def dead_test(case: Case, fixture: Fixture) -> DeadTest:
    """A test that fails as the job of `case` failed, and passes once its handler is fixed."""
    literal = literal_of(bytes(case.job.payload))
    apart = case.ended_its_process
    function = "repeat_apart" if apart else "repeat"
    standard = sorted(
        {*fixture.standard, *(("from pathlib import Path",) if literal is None else ())},
        key=lambda line: line.startswith("from"),
    )
    imports = sorted(
        {
            *fixture.imports,
            f"from mousetrap.repeat_attempt import {'as_json, ' if literal is not None else ''}{function}",
            "from mousetrap.jobs import Job",
            *(("import msgspec",) if literal is None else ()),
        },
        key=lambda line: (line.split()[1].split(".")[0] == "mousetrap", line.split()[1]),
    )
    parts = [
        _heading(case, fixture, apart),
        "\n".join(standard),
        "\n".join(fixture.before),
        "\n".join(imports),
        *([] if literal is None else [f"INPUT = {literal}"]),
        job_source(case.job, _IN_TEST if literal is not None else _IN_FILE),
    ]
    text = "\n\n".join(filter(None, parts))
    return DeadTest(
        f"{text}\n\n\n{_functions(case, fixture, function)}",
        bytes(case.job.payload) if literal is None else None,
    )


def _heading(case: Case, fixture: Fixture, apart: bool) -> str:
    job, failure = case.job, case.failure
    at = (
        datetime.fromtimestamp(case.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if case.at_ms
        else "unknown"
    )
    facts = {
        "letter": f"{job.id} of queue {case.queue}",
        "run": f"{job.run_id} of pipeline {job.pipeline}, stage {job.stage}, attempt {job.attempt}",
        "given up": f"{at}, as {case.reason}" + (f", by worker {case.worker}" if case.worker else ""),
        "error": f"{failure.kind}: {failure.text}" if failure else "",
    }
    notes = [
        "It fails as the job failed, until the handler is fixed; then it passes. Keep it as a test of the fix, or delete it.",
        "The input is what the job carried, and nothing in it is masked: look for secrets before you commit this file.",
        *(
            ["The attempt ended the processes that made it, so it is made in a process of its own."]
            if apart
            else []
        ),
        *([fixture.note] if fixture.note else []),
    ]
    lines = [
        f'"""Makes the attempt of dead letter {_escaped(case.short_id)} again.',
        "",
        *(_escaped(f"{name:<10}{text}"[:1_000]) for name, text in facts.items()),
        "",
        *(line for note in notes for line in textwrap.wrap(note, WIDTH)),
        '"""',
    ]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """A line that no text of others can end the docstring in, nor start an escape in."""
    return one_line(text).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def _functions(case: Case, fixture: Fixture, function: str) -> str:
    test = f"def test_dead_letter_{case.short_id}() -> None:\n"
    if not case.ended_its_process:
        return f"{test}    {function}({fixture.expression}, JOB)\n"
    return f"def handler():\n    return {fixture.expression}\n\n\n{test}    {function}(handler, JOB)\n"
