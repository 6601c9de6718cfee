"""Decodes a body to UTF-8, and judges bodies that are not JSON."""

import codecs

from mousetrap.earthquakes import FeedRefused, FeedUnavailable

#: Byte order marks; that of UTF-32 begins like the one of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SPACE = b" \t\r\n"


def as_utf8(body: bytes, where: str) -> bytes:
    """The body as UTF-8 without a mark, decoded by the encoding of its byte order mark.

    Raises FeedUnavailable for an empty body or one that ends in the middle of a character, FeedRefused for one that is not in
    its encoding.
    """
    if not body.strip(_SPACE):
        raise FeedUnavailable(f"{where} answered with an empty page: it may be out of order")
    encoding = next((encoding for mark, encoding in _MARKS if body.startswith(mark)), None)
    if encoding is None:
        return body
    if encoding == "utf-8-sig":
        return body[len(codecs.BOM_UTF8) :]
    try:
        return body.decode(encoding).encode()
    except UnicodeDecodeError as error:
        if "truncated" in error.reason or "unexpected end" in error.reason:
            raise _cut_off(where) from None
        raise FeedRefused(
            f"{where} is not JSON: its byte order mark is of {encoding.upper()}, its text is not"
        ) from None


def not_json(error: Exception, text: bytes, where: str) -> FeedUnavailable | FeedRefused:
    """The error to raise for a text that the decoder refused with `error`; it quotes nothing of the text."""
    text = text.strip(_SPACE)
    if text.startswith(b"<"):
        return FeedUnavailable(
            f"{where} answered with a web page or XML in place of a feed: it may be out of order, or require a login"
        )
    truncated = "truncated" in str(error) or not text.endswith(b"}")
    if text.startswith(b"{") and truncated and not isinstance(error, RecursionError):
        return _cut_off(where)
    return FeedRefused(f"{where} is not JSON: {_reason(error)}")


def _cut_off(where: str) -> FeedUnavailable:
    return FeedUnavailable(f"{where} ended its response in the middle: the server or the connection failed")


def _reason(error: Exception) -> str:
    match error:
        case UnicodeDecodeError():
            return "it is not UTF-8 text"
        case RecursionError():
            return "it is nested too deep"
        case _:
            return str(error)
