"""Server-sent events, read from parts of any size."""

import pytest

from mousetrap.api_client.event_stream import EventReader


@pytest.mark.parametrize(
    ("lines", "events"),
    [
        ([], []),
        ([b"event: started", b"id: 1-0", b'data: {"a":1}', b""], [("started", b'{"a":1}')]),
        ([b"data:no blank", b""], [("message", b"no blank")]),
        ([b"data: two", b"data: lines", b""], [("message", b"two\nlines")]),
        ([b": a comment", b"", b"data: x", b""], [("message", b"x")]),
        ([b"event: one", b"data: 1", b"", b"data: 2", b""], [("one", b"1"), ("message", b"2")]),
        ([b"event: without data", b"", b"data: 2", b""], [("message", b"2")]),
        ([b"retry: 3000", b"data: 1", b""], [("message", b"1")]),
        ([b"data: whole", b"", b"event: cut", b"data: sho"], [("message", b"whole")]),
    ],
)
def test_events_are_read_as_the_standard_has_it(lines: list[bytes], events: list[tuple[str, bytes]]) -> None:
    body = b"".join(line + b"\n" for line in lines).removesuffix(b"\n" if lines[-1:] != [b""] else b"")

    assert list(EventReader().feed(body)) == events
    by_bytes = EventReader()
    assert [event for byte in body for event in by_bytes.feed(bytes([byte]))] == events
