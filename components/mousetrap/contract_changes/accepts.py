"""Compares two JSON Schemas: does one read what the other writes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from mousetrap.contract_changes.bounds import bound_breaks
from mousetrap.contract_changes.flatten import Json, alternatives, plain, resolved
from mousetrap.pipeline import ContractBroken, JsonSchema


class Break(NamedTuple):
    """A part of a value that the reader refuses."""

    #: Its JSON path.
    where: str
    what: str


def accepts(reader: Json, writer: Json) -> tuple[Break, ...]:
    """What the schema `reader` refuses of the values that `writer` describes; nothing where it reads them all.

    A writer is a type: it writes the fields that it names, and no others unless it allows them. What cannot be compared is
    a break.
    """
    return tuple(dict.fromkeys(_Comparison(reader, writer).breaks(reader, writer, "$")))


@dataclass(slots=True)
class _Comparison:
    """The two documents, for their references, and the pairs of their parts that are being compared."""

    reader: Json
    writer: Json
    open: set[tuple[bytes, bytes]] = field(default_factory=set)

    def breaks(self, reader: Any, writer: Any, where: str) -> Iterator[Break]:
        reader, writer = resolved(reader, self.reader), resolved(writer, self.writer)
        if reader is True or writer is False or reader == {}:
            return
        if reader is False:
            yield Break(where, "it is not taken any more")
            return
        writer = {} if writer is True else writer
        pair = (_key(reader), _key(writer))
        if pair in self.open:  # the type contains itself: this part is being compared already
            return
        self.open.add(pair)
        yield from self._compared(reader, writer, where)

    def _compared(self, reader: Json, writer: Json, where: str) -> Iterator[Break]:
        if "enum" in writer or "const" in writer:
            yield from self._values(reader, writer, where)
            return
        written = alternatives(writer, self.writer)
        if len(written) > 1:
            for each in written:
                yield from self.breaks(reader, each, where)
            return
        read = alternatives(reader, self.reader)
        if not read:
            yield Break(where, "its alternatives can overlap, and cannot be compared")
        elif len(read) > 1:
            yield from self._one_of(read, written[0] if written else writer, where)
        elif not written:
            yield Break(where, "its alternatives can overlap, and cannot be compared")
        else:
            yield from self._single(read[0], written[0], where)

    def _one_of(self, read: list[Json], writer: Json, where: str) -> Iterator[Break]:
        tried = [tuple(self._trial().breaks(each, writer, where)) for each in read]
        if all(tried):
            same = [it for it, each in zip(tried, read, strict=True) if _kind(each) == _kind(writer)]
            yield from (
                min(same, key=len) if same else [Break(where, f"{_name(writer)} is not among its types")]
            )

    def _trial(self) -> "_Comparison":
        return _Comparison(self.reader, self.writer, set(self.open))

    def _values(self, reader: Json, writer: Json, where: str) -> Iterator[Break]:
        if b'"format"' in _key(reader) or b'"contentEncoding"' in _key(reader):
            yield Break(where, "a format is required of its fixed values")
            return
        contract = JsonSchema({**reader, "$defs": self.reader.get("$defs", {})})
        for value in writer.get("enum", [writer.get("const")]):
            raw = msgspec.json.encode(value)
            try:
                contract.read(raw)
            except ContractBroken:
                yield Break(where, f"the value {raw.decode()[:200]} is not taken any more")

    def _single(self, reader: Json, writer: Json, where: str) -> Iterator[Break]:
        if "enum" in reader or "const" in reader:
            yield Break(where, "only fixed values are taken")
            return
        kind, taken = _kind(writer), _kind(reader)
        if taken and taken != kind and (taken, kind) != ("number", "integer"):
            yield Break(where, f"{_name(writer)} is written, and {taken} is read")
            return
        for what in bound_breaks(reader, writer):
            yield Break(where, what)
        if kind in ("array", None):
            yield from self._items(reader, writer, where)
        if kind in ("object", None):
            yield from self._fields(reader, writer, where)

    def _items(self, reader: Json, writer: Json, where: str) -> Iterator[Break]:
        longest = max(len(reader.get("prefixItems", ())), len(writer.get("prefixItems", ())))
        most = writer.get("maxItems", longest + 1)
        for place in range(min(longest, most)):
            yield from self.breaks(_item(reader, place), _item(writer, place), f"{where}[{place}]")
        if most > longest:
            yield from self.breaks(reader.get("items", True), writer.get("items", True), f"{where}[]")

    def _fields(self, reader: Json, writer: Json, where: str) -> Iterator[Break]:
        read, written = reader.get("properties", {}), writer.get("properties", {})
        certain = writer.get("required", ())
        for name in reader.get("required", ()):
            if name not in certain:
                yield Break(f"{where}.{name}", "it is required, and is not always written")
        open_ended = writer.get("additionalProperties", _is_open(writer))
        refused = reader.get("additionalProperties", True)
        for name in (*written, *(name for name in read if name not in written)):
            wrote, taken = written.get(name, open_ended), read.get(name, refused)
            if taken is False and wrote is not False:
                yield Break(f"{where}.{name}", "it is written, and unknown fields are refused")
            else:
                yield from self.breaks(taken, wrote, f"{where}.{name}")
        yield from self.breaks(refused, open_ended, f"{where}.*")


def _is_open(writer: Json) -> bool:
    """Whether it can write any field: it names none, and so is no type with fields."""
    return "properties" not in writer


def _item(schema: Json, place: int) -> Any:
    first = schema.get("prefixItems", ())
    return first[place] if place < len(first) else schema.get("items", True)


def _kind(schema: Mapping[str, Any]) -> str | None:
    kind = schema.get("type")
    return kind if isinstance(kind, str) else None


def _name(schema: Json) -> str:
    return _kind(schema) or "any value"


def _key(schema: Json) -> bytes:
    return msgspec.json.encode(plain(schema), order="deterministic")
