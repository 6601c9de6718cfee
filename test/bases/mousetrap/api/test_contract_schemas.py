"""Tests that contracts of any kind become components."""

from typing import Any

import msgspec
from pydantic import BaseModel

from mousetrap.api.contract_schemas import ContractSchemas
from mousetrap.pipeline import JsonSchema, all_of, schema


class Item(BaseModel):
    """A part of a model."""

    name: str


class Order(BaseModel):
    """A model that refers to another."""

    items: list[Item]


def of_same_name(kind: type) -> Any:
    """A struct Holder with a struct Part, whose field is of `kind`."""
    part = msgspec.defstruct("Part", [("value", kind)])
    return msgspec.defstruct("Holder", [("part", part)])


def test_models_and_structs_are_components() -> None:
    schemas = ContractSchemas()

    assert schemas.add(Order | None)["anyOf"][0] == {"$ref": "#/components/schemas/contract.Order"}
    assert schemas.add(of_same_name(int)) == {"$ref": "#/components/schemas/contract.Holder"}
    items = schemas.components["contract.Order"]["properties"]["items"]["items"]
    assert items == {"$ref": "#/components/schemas/contract.Item"}


def test_equal_definitions_share_a_component_and_others_of_that_name_are_numbered() -> None:
    schemas = ContractSchemas()

    first, second, again = (schemas.add(of_same_name(kind)) for kind in (int, str, int))

    assert first == again == {"$ref": "#/components/schemas/contract.Holder"}
    assert second == {"$ref": "#/components/schemas/contract.Holder.2"}
    part = schemas.components["contract.Holder.2"]["properties"]["part"]
    assert part == {"$ref": "#/components/schemas/contract.Part.2"}


def test_contracts_that_are_all_held_to_keep_their_parts_apart() -> None:
    schemas = ContractSchemas()
    both = JsonSchema(all_of([schema(of_same_name(int)), schema(of_same_name(str))]))

    assert schemas.add(both) == {
        "allOf": [
            {"$ref": "#/components/schemas/contract.Holder"},
            {"$ref": "#/components/schemas/contract.Holder.2"},
        ]
    }
    assert "$defs" not in str(schemas.components)


def test_any_name_of_a_definition_is_a_name_of_a_component() -> None:
    schemas = ContractSchemas()

    added = schemas.add(JsonSchema({"$ref": "#/$defs/a$b", "$defs": {"a$b": {"type": "string"}}}))

    assert added == {"$ref": "#/components/schemas/contract.a_b"}
