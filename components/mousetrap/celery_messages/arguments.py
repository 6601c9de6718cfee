"""Binds the arguments of a call to the input of a pipeline."""

from collections.abc import Mapping, Sequence
from typing import Any

from mousetrap.celery_messages.invocation import NotUnderstood


def bound(args: Sequence[Any], kwargs: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """The input that a call means, for a first stage whose contract has this JSON Schema.

    One argument alone is the input itself where the schema takes it; else arguments go to the members of an object, in their
    order, and named ones by name. Raises NotUnderstood where they do not fit; the contract is checked later.
    """
    members = _members(schema)
    if len(args) + len(kwargs) == 1 and (members is None or _is_whole(args, kwargs, members, schema)):
        return args[0] if args else next(iter(kwargs.values()))
    if members is None:
        if args or kwargs:
            raise NotUnderstood(
                f"it has {len(args) + len(kwargs)} arguments, and the pipeline takes one value that is no object: "
                "declare a task with a parameter for each"
            )
        return None
    if len(args) > len(members):
        raise NotUnderstood(f"it has {len(args)} arguments, and the pipeline takes {_listed(members)}")
    values = dict(zip(members, args, strict=False))
    if twice := values.keys() & kwargs.keys():
        raise NotUnderstood(f"it gives {_listed(twice)} twice: by place and by name")
    return {**values, **kwargs}


def _is_whole(
    args: Sequence[Any], kwargs: Mapping[str, Any], members: Sequence[str], schema: Mapping[str, Any]
) -> bool:
    """Whether a single argument is the whole object. A task of one parameter takes it so, also by that parameter's name."""
    value = args[0] if args else next(iter(kwargs.values()))
    if not isinstance(value, dict) or kwargs.keys() & set(members):
        return False
    if not members:
        return True
    required = set(_object(schema).get("required", ()))
    return required <= value.keys() <= set(members)


def _members(schema: Mapping[str, Any]) -> Sequence[str] | None:
    """The names of an object's members, in the order of its declaration; None for what is no object."""
    found = _object(schema)
    if found.get("type") != "object":
        return None
    return list(found.get("properties", {}))


def _object(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema, or the one in its `$defs` that it refers to."""
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    found = schema.get("$defs", {}).get(reference.rpartition("/")[2], {})
    return found if isinstance(found, dict) else {}


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"
