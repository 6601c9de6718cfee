"""Reads the items of a list's schema."""

from typing import Any

from mousetrap.schema_form import names
from mousetrap.schema_form.part import Json


def first_items(schema: Json) -> list[Any]:
    """The schemas of the items that have one each."""
    found: list[Any] = schema.get("prefixItems", [])
    return found


def rest_of(schema: Json) -> Any:
    """The schema of the items after the first ones."""
    return schema.get("items", not first_items(schema))


def item_at(schema: Json, row: int) -> Any:
    """The schema of the item in this row."""
    first = first_items(schema)
    return first[row] if row < len(first) else rest_of(schema)


def longest_of(schema: Json) -> int:
    """How many items can have a row."""
    most = names.MOST_ROWS if rest_of(schema) is not False else len(first_items(schema))
    return int(min(names.MOST_ROWS, most, schema.get("maxItems", most)))
