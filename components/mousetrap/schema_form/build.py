"""Builds the fields of a JSON Schema's form, filled in."""

from dataclasses import replace
from typing import Any

from mousetrap.schema_form import kinds, names
from mousetrap.schema_form.field import (
    Choice,
    Empty,
    Field,
    Form,
    Group,
    Line,
    Raw,
    Rows,
    State,
    Tick,
    Union,
)
from mousetrap.schema_form.items import first_items, item_at, longest_of, rest_of
from mousetrap.schema_form.json_text import MISSING, compact, exact, parse, pretty
from mousetrap.schema_form.names import Word
from mousetrap.schema_form.part import Json, Part, read_part
from mousetrap.schema_form.place import ROOT, Place
from mousetrap.schema_form.states import can_be_absent, emptiness, line_of, states_of, tag_in

#: Fields of a form; what comes after them is raw JSON.
MOST_FIELDS = 400
#: Lists and objects within each other; what is deeper is raw JSON.
MOST_DEPTH = 5
#: Rows of a list that must have some.
_MOST_FIRST_ROWS = 10
#: Characters that one line shows.
_LINE = 100
_FULL = "The form has no room for more: write this as JSON."

#: The value is what was submitted.
_SUBMITTED: Any = object()


def filled(schema: Json, raw: bytes | None = None) -> Form:
    """The form with a value in it, which `raw` is the JSON of; without one, with the schema's defaults. Raises ValueError for no JSON."""
    build = _Build(schema, {})
    return Form(root=build.field(schema, ROOT, MISSING if raw is None else parse(raw)))


def submitted(
    schema: Json, pairs: list[tuple[str, str]] | tuple[tuple[str, str], ...], act: str = ""
) -> Form:
    """The form as it was submitted, after an act: `add:/a`, `remove:/a/3`, `given:/a`, `none:/a`, `absent:/a`."""
    mine = names.ours(pairs)
    verb, _, pointer = act.partition(":")
    build = _Build(schema, *_acted(mine, verb, pointer))
    root = build.field(schema, ROOT, _SUBMITTED)
    if verb in ("add", State.GIVEN) and build.left <= 0:
        before = _Build(schema, mine)
        root = before.field(schema, ROOT, _SUBMITTED)
        return Form(root=root, unknown=before.unknown(), refused={pointer: _FULL})
    return Form(root=root, unknown=build.unknown())


def _acted(pairs: dict[str, str], verb: str, pointer: str) -> tuple[dict[str, str], str | None]:
    """The pairs after the act, and the pointer of what is new in them."""
    if verb == "add":
        row = names.count(pairs.get(names.name_of(Word.ROWS, pointer), ""))
        return names.with_row(pairs, pointer), names.below(pointer, row)
    if verb == "remove":
        parent, _, row_text = pointer.rpartition("/")
        return names.without_row(pairs, parent, names.count(row_text)), None
    if verb in frozenset(State):
        return {**pairs, names.name_of(Word.STATE, pointer): verb}, pointer if verb == State.GIVEN else None
    return pairs, None


class _Build:
    """One form that is being built."""

    def __init__(self, document: Json, pairs: dict[str, str], new: str | None = None) -> None:
        self.left = MOST_FIELDS
        self._document = document
        self._pairs = pairs
        self._new = new
        self._used: set[str] = set()
        #: Places whose fields do not count any more.
        self._closed: list[str] = []
        self._makers = {
            "line": self._line,
            "tick": self._tick,
            "choice": self._choice,
            "rows": self._rows,
            "group": self._group,
            "union": self._union,
        }

    def field(self, schema: Any, place: Place, value: Any) -> Field:
        """The field of one part: raw JSON where no other shows this value of it exactly."""
        self.left -= 1
        part = read_part(schema, self._document, place.references)
        kind = self._kind(part, place) if self.left >= 0 else "raw"
        if value is _SUBMITTED and self._is_new(kind, place.pointer):
            value = MISSING
        if value is MISSING and part is not None and "default" in part.schema:
            value = exact(part.schema["default"])
        if self._is_submitted_raw(place, value):
            kind = "raw"
        if (
            kind != "raw"
            and part is not None
            and (made := self._makers[kind](part, place, value)) is not None
        ):
            return made
        return self._raw(part, place, value)

    def unknown(self) -> tuple[str, ...]:
        """The names that no field took."""
        return tuple(
            name
            for name in self._pairs
            if name not in self._used and not any(names.is_under(name, each) for each in self._closed)
        )

    def _is_new(self, kind: str, pointer: str) -> bool:
        """Whether nothing was submitted for this place: it is a new row, or the contract has a new member."""
        if pointer == self._new and names.name_of(Word.STATE, pointer) not in self._pairs:
            return True
        is_always_sent = kind not in ("tick", "group")  # a box that is not ticked is not sent
        return is_always_sent and not any(names.name_of(word, pointer) in self._pairs for word in Word)

    def _is_submitted_raw(self, place: Place, value: Any) -> bool:
        return value is _SUBMITTED and names.name_of(Word.JSON, place.pointer) in self._pairs

    def _kind(self, part: Part | None, place: Place) -> str:
        kind = kinds.kind_of(part, self._document)
        if kind in ("rows", "group", "union") and place.depth >= MOST_DEPTH:
            return "raw"
        if kind == "rows" and part is not None and not self._has_rows(part, place):
            return "raw"
        return kind

    def _has_rows(self, part: Part, place: Place) -> bool:
        """Whether each item has a field that is better than raw JSON."""
        schemas = [
            *first_items(part.schema),
            *([rest] if (rest := rest_of(part.schema)) is not False else []),
        ]
        taken = ("line", "tick", "choice") if place.depth + 1 >= MOST_DEPTH else tuple(self._makers)
        read = [read_part(each, self._document, part.references) for each in schemas[: _MOST_FIRST_ROWS + 1]]
        return 0 < len(schemas) == len(read) and all(
            kinds.kind_of(each, self._document) in taken for each in read
        )

    def _take(self, word: Word, pointer: str) -> str | None:
        name = names.name_of(word, pointer)
        self._used.add(name)
        return self._pairs.get(name)

    def _common(self, part: Part | None, place: Place) -> dict[str, Any]:
        return {
            "pointer": place.pointer,
            "path": place.path,
            "label": place.label,
            "about": part.schema.get("description", "") if part is not None else "",
            "required": place.is_required,
        }

    def _raw(self, part: Part | None, place: Place, value: Any) -> Raw:
        text = (
            ""
            if value is MISSING
            else (self._take(Word.JSON, place.pointer) or "")
            if value is _SUBMITTED
            else pretty(value)
        )
        return Raw(**self._common(part, place), text=text)

    def _line(self, part: Part, place: Place, value: Any) -> Line | None:
        schema, is_number = part.schema, kinds.is_number(part.schema)
        empty, states = emptiness(part, place)
        if value is _SUBMITTED:
            text = self._take(Word.VALUE, place.pointer) or ""
            boxes = {state: self._take(Word(state), place.pointer) is not None for state in states}
        else:
            found = line_of(value, is_number, empty, states)
            if found is None:
                return None
            text, ticked = found
            boxes = {state: state == ticked for state in states}
        is_text = not is_number and not _has_one_line(schema)
        is_long = "\n" in text or len(text) > _LINE or schema.get("maxLength", 0) > 2 * _LINE
        return Line(
            **self._common(part, place),
            text=text,
            is_number=is_number,
            empty=empty,
            is_long=is_text and is_long,
            keyboard=kinds.keyboard_of(schema),
            hint=kinds.hint_of(schema),
            boxes=boxes,
        )

    def _tick(self, part: Part, place: Place, value: Any) -> Field | None:
        if part.is_nullable or can_be_absent(part, place):
            return self._choice(replace(part, schema={**part.schema, "enum": [True, False]}), place, value)
        if value is _SUBMITTED:
            value = self._take(Word.VALUE, place.pointer) is not None
        value = False if value is MISSING else value
        return Tick(**self._common(part, place), on=value) if isinstance(value, bool) else None

    def _choice(self, part: Part, place: Place, value: Any) -> Choice | None:
        options = kinds.options_of(part.schema)
        none = (("null", "none"),) if part.is_nullable else ()
        if value is _SUBMITTED:
            chosen = self._take(Word.VALUE, place.pointer) or ""
        elif value is MISSING:
            chosen = options[0][0] if place.is_required and len(options) == 1 and not none else ""
        else:
            chosen = compact(value)
            if chosen not in dict((*options, *none)):
                return None
        empty = Empty.ABSENT if can_be_absent(part, place) else Empty.NOTHING
        return Choice(**self._common(part, place), options=(*options, *none), chosen=chosen, empty=empty)

    def _rows(self, part: Part, place: Place, value: Any) -> Rows | None:
        state, value = self._state(part, place, value, [])
        if value is _SUBMITTED:
            count = min(names.count(self._take(Word.ROWS, place.pointer) or ""), names.MOST_ROWS)
            items = [_SUBMITTED] * count
        else:
            items = value
        if not isinstance(items, list) or len(items) > longest_of(part.schema):
            return None
        least = part.schema.get("minItems", 0)
        if state == State.GIVEN and items == []:
            items = [MISSING] * min(least, _MOST_FIRST_ROWS)
        fields = [
            self.field(item_at(part.schema, row), place.within(row, part), item)
            for row, item in enumerate(items)
        ]
        return Rows(
            **self._common(part, place),
            within=tuple(fields),
            state=state,
            states=states_of(part, place),
            can_add=len(items) < longest_of(part.schema),
            can_remove=len(items) > least,
        )

    def _group(self, part: Part, place: Place, value: Any) -> Group | None:
        state, value = self._state(part, place, value, {})
        members = self._members(part, place, value) if state == State.GIVEN else ()
        if members is None:
            return None
        return Group(**self._common(part, place), within=members, state=state, states=states_of(part, place))

    def _members(
        self, part: Part, place: Place, value: Any, tag: str | None = None
    ) -> tuple[Field, ...] | None:
        """A field for each member but the tag, required ones first; None where the value has others."""
        properties = part.schema["properties"]
        if value is not _SUBMITTED and (not isinstance(value, dict) or value.keys() - properties.keys()):
            return None
        required = part.schema.get("required", ())
        return tuple(
            self.field(
                schema,
                place.within(name, part, name in required),
                _SUBMITTED if value is _SUBMITTED else value.get(name, MISSING),
            )
            for name, schema in sorted(properties.items(), key=lambda it: it[0] not in required)
            if name != tag
        )

    def _union(self, part: Part, place: Place, value: Any) -> Union | None:
        tags = kinds.tags_of(part, self._document)
        states = states_of(part, place)
        none = (("null", "none"),) if State.NONE in states else ()
        if tags is None:
            return None
        is_changed = False
        if value is _SUBMITTED:
            chosen = self._take(Word.TAG, place.pointer) or ""
            is_changed = (self._take(Word.SHOWN, place.pointer) or "") != chosen
        else:
            chosen = tag_in(value, tags, place, part)
        found = {each.tag: each.part for each in tags.each}
        inner: tuple[Field, ...] | None = ()
        if chosen in found:
            inner = self._members(found[chosen], place, {} if is_changed else value, tags.name)
        elif (
            value is not _SUBMITTED
            and not (chosen == "" and value is MISSING)
            and not (none and value is None)
        ):
            return None
        if is_changed or not inner:
            self._closed.append(place.pointer)
        if inner is None:
            return None
        return Union(
            **self._common(part, place),
            within=inner,
            state=State.NONE if chosen == "null" else State.ABSENT if chosen == "" else State.GIVEN,
            states=states,
            tag=tags.name,
            options=(*((each.tag, each.label) for each in tags.each), *none),
            chosen=chosen,
            is_changed=is_changed,
        )

    def _state(self, part: Part, place: Place, value: Any, new: Any) -> tuple[State, Any]:
        """The state of a list or an object, and what stands in it."""
        states = states_of(part, place)
        if value is _SUBMITTED:
            text = self._take(Word.STATE, place.pointer)
            state = State(text) if text in states else State.GIVEN
            if state != State.GIVEN or place.pointer == self._new:
                self._closed.append(place.pointer)
                self._take(Word.ROWS, place.pointer)
                return state, new
            return state, value
        if value is MISSING and len(states) > 1:
            return State.ABSENT if State.ABSENT in states else State.NONE, new
        if value is None and State.NONE in states:
            return State.NONE, new
        return State.GIVEN, new if value is MISSING else value


def _has_one_line(schema: Json) -> bool:
    """Whether its texts are addresses and the like, of any length."""
    return "pattern" in schema or schema.get("format") in ("uri", "email")
