"""Finds characters that may not reach a terminal or a log."""

import unicodedata

from hypothesis import strategies as st

#: All code points, lone surrogates among them, and those that do harm more often than chance would have it.
ANY_TEXT = st.text(
    st.characters()
    | st.sampled_from("\n\t\r\x00\x07\x1b\x7f\x85\x9b\u2028\u2029\u202e\u2066\ud800\udfff[]/m")
)
#: What sets the direction of writing: an override makes a line read otherwise than it is.
_DIRECTIONS = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")


def unsafe(text: str, *, but: str = "") -> list[str]:
    """The characters of `text` that steer a terminal, end or reorder a line, or cannot be encoded."""
    return [
        each
        for each in text
        if each not in but
        and (
            unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp")
            or unicodedata.bidirectional(each) in _DIRECTIONS
        )
    ]
