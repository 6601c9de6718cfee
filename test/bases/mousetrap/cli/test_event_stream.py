"""Shows how server-sent events are read from lines."""

import pytest

from mousetrap.cli.event_stream import read_events


@pytest.mark.parametrize(
    ("lines", "events"),
    [
        ([], []),
        (["event: started", "id: 1-0", 'data: {"a":1}', ""], [("started", b'{"a":1}')]),
        (["data:no blank", ""], [("message", b"no blank")]),
        (["data: two", "data: lines", ""], [("message", b"two\nlines")]),
        ([": a comment", "", "data: x", ""], [("message", b"x")]),
        (["event: one", "data: 1", "", "data: 2", ""], [("one", b"1"), ("message", b"2")]),
        (["event: without data", "", "data: 2", ""], [("message", b"2")]),
        (["retry: 3000", "data: 1", ""], [("message", b"1")]),
        (["data: whole", "", "event: cut", "data: sho"], [("message", b"whole")]),
    ],
)
def test_events_are_read_as_the_standard_has_it(lines: list[str], events: list[tuple[str, bytes]]) -> None:
    assert list(read_events(lines)) == events
