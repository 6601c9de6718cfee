"""Reads the text of an error, even of a broken one."""

import traceback

#: In place of a text whose own code failed.
UNREADABLE = "(its text cannot be read)"
#: Errors and notes in one traceback; the time to format groups grows with the cube of it (400 in a chain: 1 s).
_MAX_PARTS = 50


def encodable(text: str) -> str:
    """`text` as it can be encoded: half a surrogate pair, as the name of a file can hold one, becomes `\\udc80`."""
    return str.encode(
        text, errors="backslashreplace"
    ).decode()  # not text.encode(), which a subclass can replace


def error_kind(error: BaseException) -> str:
    """The class of the error, with its module unless that is `builtins`; at most 200 characters."""
    kind = type(error)
    try:
        name = str(kind.__qualname__)
        return encodable((name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}")[:200])
    except BaseException:  # noqa: BLE001  a metaclass can do anything
        return encodable(type.__dict__["__name__"].__get__(kind)[:200])


def error_text(error: BaseException, most: int) -> str:
    """The first `most` characters of the error's text; UNREADABLE where its code fails."""
    try:
        return encodable(str.__getitem__(str(error), slice(most)))
    except BaseException:  # noqa: BLE001  __str__ can raise anything
        return UNREADABLE


def error_traceback(error: BaseException, most: int) -> str:
    """The last `most` characters of the traceback; of the error alone where the rest is too much, or its code fails."""
    try:
        if _has_few_parts(error):
            return encodable("".join(traceback.format_exception(error))[-most:])
    except BaseException:  # noqa: BLE001, S110  attributes, notes and causes can be anything
        pass
    return _plain_traceback(error, most)


def _has_few_parts(error: BaseException) -> bool:
    seen: dict[int, BaseException] = {}
    notes, rest = 0, [error]
    while rest and len(seen) + notes <= _MAX_PARTS:
        each = rest.pop()
        if id(each) not in seen:
            seen[id(each)] = each
            notes += len(getattr(each, "__notes__", None) or ())
            inner = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
            rest += [part for part in (each.__cause__, each.__context__, *inner) if part is not None]
    return len(seen) + notes <= _MAX_PARTS


def _plain_traceback(error: BaseException, most: int) -> str:
    try:
        where = BaseException.__dict__["__traceback__"].__get__(error)
        lines = "".join(traceback.format_tb(where))
    except BaseException:  # noqa: BLE001  the rest is enough
        lines = ""
    return encodable(f"{lines}{error_kind(error)}: {error_text(error, most)}"[-most:])
