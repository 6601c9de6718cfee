"""Writes a contract as it stands in an annotation: pure."""

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin


def type_text(contract: Any, *, full: bool = False) -> str:
    """`str`, `Gathered[int | None]`; with the modules of classes where that is to be `full`."""
    if contract is None or contract is NoneType:
        return "None"
    if contract is Ellipsis:
        return "..."
    if contract is Any:  # a class since Python 3.11, and typing's own
        return "Any"
    origin, arguments = get_origin(contract), get_args(contract)
    if origin in (Union, UnionType):
        return " | ".join(type_text(each, full=full) for each in arguments)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if isinstance(origin, type) and arguments and all(map(_is_written, arguments)):
        return f"{_name(origin, full)}[{', '.join(type_text(each, full=full) for each in arguments)}]"
    return _name(contract, full) if isinstance(contract, type) and origin is None else str(contract)


def type_texts(*contracts: Any) -> tuple[str, ...]:
    """The text of each; with modules where two different ones would read the same."""
    texts = tuple(map(type_text, contracts))
    ambiguous = any(
        one != other and text == texts[place]
        for one, text in zip(contracts, texts, strict=True)
        for place, other in enumerate(contracts)
    )
    return tuple(type_text(each, full=True) for each in contracts) if ambiguous else texts


def _is_written(argument: Any) -> bool:
    """Whether it is a type, as the arguments of a Callable are not."""
    return argument is None or not isinstance(argument, list | str)


def _name(of: type, full: bool) -> str:
    if of.__module__ == "builtins":
        return of.__qualname__
    # A class of a function is known there by its own name.
    name = of.__qualname__.rpartition("<locals>.")[2]
    return f"{of.__module__}.{name}" if full else name
