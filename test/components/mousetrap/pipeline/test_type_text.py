"""A contract is written as it stands in an annotation."""

from collections.abc import Callable
from typing import Any, Literal, Optional, Union

import msgspec
import pytest

from mousetrap.pipeline import Fallen, Gathered, Keyed, Many, type_text, type_texts


class Page(msgspec.Struct):
    url: str


@pytest.mark.parametrize(
    ("contract", "text"),
    [
        (str, "str"),
        (None, "None"),
        (type(None), "None"),
        (Page, "Page"),
        (Gathered, "Gathered"),
        (Many[str], "Many[str]"),
        (Many[Keyed[Page]], "Many[Keyed[Page]]"),
        (Gathered[Optional[int]], "Gathered[int | None]"),  # noqa: UP045
        (Gathered[None], "Gathered[None]"),
        (Fallen[float | None], "Fallen[float | None]"),
        (Union[Page, int], "Page | int"),  # noqa: UP007
        (dict[str, list[Page]], "dict[str, list[Page]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Literal["a", 1], "Literal['a', 1]"),
        (Any, "Any"),
        (Callable[[int], str], "collections.abc.Callable[[int], str]"),
    ],
)
def test_a_type_is_text_that_can_be_pasted(contract: Any, text: str) -> None:
    assert type_text(contract) == text


def test_two_types_of_one_name_have_their_modules() -> None:
    other = msgspec.defstruct("Page", [("url", str)], module="other.pages")

    assert type_texts(list[Page], list[Page]) == ("list[Page]", "list[Page]")
    assert type_texts(list[Page], list[other]) == (f"list[{__name__}.Page]", "list[other.pages.Page]")  # type: ignore[valid-type]
