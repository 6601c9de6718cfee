"""Holds a form's fields: what is shown, what stands there."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class State(StrEnum):
    """What a member of an object is, where it need not have a value."""

    #: It has a value.
    GIVEN = "given"
    #: It is null.
    NONE = "none"
    #: It is not in its object.
    ABSENT = "absent"


class Empty(StrEnum):
    """What an empty text means."""

    #: The empty text.
    TEXT = "text"
    NONE = "none"
    ABSENT = "absent"
    #: Nothing: the field must be filled in.
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a form."""

    kind: ClassVar[str]
    #: Its place in the value, as a JSON pointer.
    pointer: str
    #: The same place as errors name it.
    path: str
    #: The member's name; of an item its number, from 1; empty for the whole value.
    label: str
    about: str = ""
    required: bool = True

    @property
    def fields(self) -> tuple["Field", ...]:
        """The fields within it."""
        return ()

    def walk(self) -> Iterator["Field"]:
        """It and all fields within it."""
        yield self
        for each in self.fields:
            yield from each.walk()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Field):
    """A text or a number. A number is text here, so that none is too large or too exact."""

    kind: ClassVar[str] = "line"
    text: str
    is_number: bool
    #: What an empty text means.
    empty: Empty
    #: Whether it needs more than one line.
    is_long: bool = False
    #: Which keyboard a phone shows, as HTML names it: text, numeric, decimal, url, email.
    keyboard: str = "text"
    #: What is expected, as `0 … 10` or an example.
    hint: str = ""
    #: The boxes that it has, each with whether it is ticked.
    boxes: dict[State, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(Field):
    """A box for true or false."""

    kind: ClassVar[str] = "tick"
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Field):
    """One of a few values."""

    kind: ClassVar[str] = "choice"
    #: The JSON of each, with its label; the empty text stands for no value.
    options: tuple[tuple[str, str], ...]
    chosen: str
    #: What no choice means: ABSENT or NOTHING.
    empty: Empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder(Field):
    """A field with fields in it."""

    within: tuple[Field, ...] = ()
    state: State = State.GIVEN
    #: The states that it can have.
    states: tuple[State, ...] = (State.GIVEN,)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields within it."""
        return self.within


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows(Holder):
    """A list."""

    kind: ClassVar[str] = "rows"
    can_add: bool
    can_remove: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Holder):
    """An object."""

    kind: ClassVar[str] = "group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Union(Holder):
    """An object with a tag, which decides what fields it has."""

    kind: ClassVar[str] = "union"
    #: The member that is the tag.
    tag: str
    #: The JSON of each tag, with its label. The empty text stands for no value, `null` for null.
    options: tuple[tuple[str, str], ...]
    chosen: str
    #: Whether another tag was chosen than the one whose fields were filled in.
    is_changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw(Field):
    """A value as JSON: no other field can show it."""

    kind: ClassVar[str] = "raw"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The fields of one value."""

    root: Field
    #: Names that were submitted and that no field has: the contract has changed since.
    unknown: tuple[str, ...] = ()
    #: Why an act was not done, by pointer.
    refused: dict[str, str] = field(default_factory=dict)
