"""A process warns where another library traces pika as well."""

from functools import wraps
from typing import Any

import pytest
from pika.connection import Connection

from mousetrap.job_queue import QueueOptions, connect, is_instrumented
from support.ports import closed_port


@pytest.fixture
def instrumented(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Connection.channel

    @wraps(original)
    def channel(*arguments: Any, **more: Any) -> Any:
        return original(*arguments, **more)

    monkeypatch.setattr(Connection, "channel", channel)


async def test_a_connection_to_rabbitmq_warns_where_pika_is_instrumented(
    instrumented: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(f"amqp://127.0.0.1:{closed_port()}/", [], name="test", options=QueueOptions()):
        pass

    assert "pika is instrumented" in caplog.text
    assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=pika" in caplog.text


def test_pika_as_it_is_is_no_reason_to_warn() -> None:
    assert not is_instrumented()
