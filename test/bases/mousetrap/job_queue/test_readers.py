"""Frames that have arrived in part when it changes who reads them."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pika
import pytest
from pika.frame import Body

from mousetrap.job_queue.amqp import frames
from mousetrap.job_queue.amqp.connection import Connection
from mousetrap.job_queue.amqp.io_services import IOServices


async def test_a_reader_that_begins_amid_a_frame_of_another_channel_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where two claims share a connection: one pulls a large message, and the other begins to wait for one."""
    connection = Connection(
        pika.ConnectionParameters(),
        custom_ioloop=IOServices(asyncio.get_running_loop()),
        internal_connection_workflow=False,
    )
    passed: list[bytes] = []
    monkeypatch.setattr(connection, "_process_frame", lambda frame: passed.append(frame.fragment))
    channel: Any = SimpleNamespace(channel_number=2, is_open=True, add_on_close_callback=lambda _: None)
    confirmed: list[tuple[int, bool]] = []
    body = bytes(range(256)) * 400
    data = Body(1, body).marshal() + frames.acknowledge(2, 7, True) + Body(1, b"next").marshal()

    connection._on_data_available(data[:65_536])
    connection.confirm(channel, lambda tag, multiple: confirmed.append((tag, multiple)))
    connection._on_data_available(data[65_536:100_000])
    connection._on_data_available(data[100_000:])

    assert passed == [body, b"next"]
    assert confirmed == [(7, True)]
    assert connection.bytes_received == len(data)
