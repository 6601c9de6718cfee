"""Shapes are written, read again and described."""

from typing import Annotated, Any

import msgspec
import pytest
from pydantic import TypeAdapter

from mousetrap import shapes
from mousetrap.shapes import ENDS, Doc, Event, Failure, LetterLine, Run, RunLine, RunPage, RunState

FAILURE = Failure(kind="builtins.ValueError", text="no", traceback="line 1")
RUN = Run(
    id="r",
    pipeline="p",
    state=RunState.FAILED,
    stage="s",
    accepted_ms=1,
    updated_ms=2,
    failure=FAILURE,
    input={"a": 1.5},
    timeline=(Event(id="1-0", kind="failed", at_ms=1, failure=FAILURE),),
)


def test_a_run_is_read_as_it_was_written() -> None:
    assert msgspec.json.decode(TypeAdapter(Run).dump_json(RUN), type=Run) == RUN


def test_a_client_passes_over_members_that_it_does_not_know() -> None:
    assert msgspec.json.decode(b'{"kind":"k","text":"t","new":1}', type=Failure) == Failure(
        kind="k", text="t"
    )


def test_a_list_shows_of_a_run_only_what_a_line_has() -> None:
    page = TypeAdapter(RunPage).dump_python(RunPage(runs=(RUN,), next=None))

    (line,) = page["runs"]
    assert "timeline" not in line
    assert line["failure"] == {"kind": "builtins.ValueError", "text": "no"}
    assert msgspec.convert(line, RunLine, strict=False).id == "r"


@pytest.mark.parametrize(
    ("annotation", "added"),
    [
        (Annotated[str, Doc("A text.")], {"description": "A text."}),
        (Annotated[str, Doc(examples=("x",))], {"examples": ["x"]}),
        (Annotated[str, Doc("A text.", ("x",))], {"description": "A text.", "examples": ["x"]}),
        (Annotated[str, Doc()], {}),
    ],
)
def test_a_doc_is_part_of_the_json_schema(annotation: Any, added: dict[str, Any]) -> None:
    assert TypeAdapter(annotation).json_schema() == {"type": "string", **added}


def test_a_field_keeps_its_doc_in_a_shape_that_extends_another() -> None:
    described = TypeAdapter(shapes.Letter).json_schema()["properties"]["queue"]
    assert described == TypeAdapter(LetterLine).json_schema()["properties"]["queue"]
    assert described["description"] == "The queue that gave it up."


@pytest.mark.parametrize(
    ("kind", "text", "summary"),
    [
        ("builtins.ValueError", "no", "ValueError: no"),
        ("builtins.ValueError", "", "ValueError"),
        ("", "no", "no"),
    ],
)
def test_a_failure_has_a_summary(kind: str, text: str, summary: str) -> None:
    assert Failure(kind=kind, text=text).summary == summary


def test_a_failures_texts_can_be_encoded() -> None:
    failure = Failure(kind="k", text="half of a pair: \ud83d", traceback="\udcff")
    msgspec.json.encode(failure)
    assert failure.text.startswith("half of a pair: ")


def test_a_failure_without_its_traceback_is_the_same_else() -> None:
    assert FAILURE.without_traceback() == Failure(kind="builtins.ValueError", text="no")


def test_a_run_ends_with_an_event_of_its_last_states_name() -> None:
    assert {"completed", "failed", "rejected", "cancelled", "expired"} == ENDS
    assert Event(id="1-0", kind="cancelled", at_ms=1).last
    assert not Event(id="1-0", kind="retrying", at_ms=1).last
