"""Makes a form of a JSON Schema, and JSON of its answer."""

from mousetrap.schema_form.answer import Answer, answer, line_and_column, pointer_at
from mousetrap.schema_form.build import filled, submitted
from mousetrap.schema_form.field import (
    Choice,
    Empty,
    Field,
    Form,
    Group,
    Holder,
    Line,
    Raw,
    Rows,
    State,
    Tick,
    Union,
)
from mousetrap.schema_form.json_text import indented

__all__ = [
    "Answer",
    "Choice",
    "Empty",
    "Field",
    "Form",
    "Group",
    "Holder",
    "Line",
    "Raw",
    "Rows",
    "State",
    "Tick",
    "Union",
    "answer",
    "filled",
    "indented",
    "line_and_column",
    "pointer_at",
    "submitted",
]
