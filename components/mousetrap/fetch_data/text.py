"""Finds the text in a body, and says of one without JSON whether a later try may bring some."""

import codecs

from mousetrap.earthquakes import FeedRefused, FeedUnavailable

#: What marks a text's encoding at its start; that of UTF-32 begins like the one of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SPACE = b" \t\r\n"


def as_utf8(body: bytes, where: str) -> bytes:
    """The body as UTF-8 without a mark, whichever of Unicode's encodings its mark says it is.

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
        raise FeedRefused(f"{where} is not JSON: its mark says {encoding.upper()}, and it is not") from None


def not_json(error: Exception, text: bytes, where: str) -> FeedUnavailable | FeedRefused:
    """What to raise for a text that the decoder stumbled over with `error`; it quotes nothing of it."""
    text = text.strip(_SPACE)
    if text.startswith(b"<"):
        return FeedUnavailable(
            f"{where} answered with a web page or XML in place of a feed: it may be out of order, or want a login"
        )
    truncated = "truncated" in str(error) or not text.endswith(b"}")
    if text.startswith(b"{") and truncated and not isinstance(error, RecursionError):
        return _cut_off(where)
    return FeedRefused(f"{where} is not JSON: {_reason(error)}")


def _cut_off(where: str) -> FeedUnavailable:
    return FeedUnavailable(f"{where} ended its answer in the middle: the server or the way to it broke off")


def _reason(error: Exception) -> str:
    match error:
        case UnicodeDecodeError():
            return "it is not UTF-8 text"
        case RecursionError():
            return "it is nested too deep"
        case _:
            return str(error)
