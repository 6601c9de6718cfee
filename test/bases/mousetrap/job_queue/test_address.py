"""RabbitMQ addresses: parsed in full, shown without secrets."""

import ssl

import pytest
from hypothesis import given, settings

from mousetrap.job_queue import QueueOptions
from mousetrap.job_queue.amqp.address import Address, parameters, parse
from mousetrap.settings import Settings, SettingsWrong
from mousetrap.stream_queue.client import Server
from support.settings import ANY_VALUE


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("amqp://h", Address((("h", 5672),), "guest", "guest", "/", False)),
        ("amqp://h/", Address((("h", 5672),), "guest", "guest", "/", False)),
        ("amqp://u:p@h:1/%2F", Address((("h", 1),), "u", "p", "/", False)),
        ("amqp://u:p%40%2C%2F@h/jobs", Address((("h", 5672),), "u", "p@,/", "jobs", False)),
        ("amqp://u:p@a,b:2,c/v%20w", Address((("a", 5672), ("b", 2), ("c", 5672)), "u", "p", "v w", False)),
        ("amqps://u:p@[::1],h:9", Address((("::1", 5671), ("h", 9)), "u", "p", "/", True)),
    ],
)
def test_an_address_names_hosts_login_and_virtual_host(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "http://u:s3cret@h",
        "amqp://",
        "amqp://u:s3cret@",
        "amqp://u:s3cret@h:port",
        "amqp://u:s3cret/more@h",
        "amqp://u:s3cret@h,,i",
        "amqp://u:s3cret@h:99999",
        "amqp://u:s3cret@h/v?heartbeat=0",
        "amqp://u:s3cret#more@h",
        "s3cret",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_repeating_any_of_it(url: str) -> None:
    with pytest.raises(ValueError, match="cannot be read: write amqp://") as error:
        parse(url)

    assert "s3cret" not in str(error.value)
    assert error.value.__cause__ is None and error.value.__suppress_context__


def test_an_address_is_reported_without_its_login() -> None:
    address = parse("amqp://someone:s3cret@a,b:2/v")

    assert str(address) == "a:5672, b:2"
    assert "s3cret" not in repr(address)


def test_every_host_is_tried_under_our_name_with_heartbeats() -> None:
    each = parameters(parse("amqp://u:p@a,b:2/v"), "me", QueueOptions())

    assert {(one.host, one.port) for one in each} == {("a", 5672), ("b", 2)}
    assert {one.client_properties["connection_name"] for one in each} == {"me"}
    assert all(one.blocked_connection_timeout and one.ssl_options is None for one in each)
    assert {one.heartbeat for one in each} == {15}
    (quicker,) = parameters(parse("amqp://u:p@a"), "me", QueueOptions(heartbeat=5))
    assert quicker.heartbeat == 5


def test_an_encrypted_connection_verifies_the_host_it_was_given() -> None:
    (one,) = parameters(parse("amqps://u:p@broker.example"), "me", QueueOptions())

    assert one.ssl_options.server_hostname == "broker.example"
    assert one.ssl_options.context.verify_mode == ssl.CERT_REQUIRED
    assert one.ssl_options.context.check_hostname


def test_an_encrypted_connection_uses_the_context_that_was_given() -> None:
    ours = ssl.create_default_context()

    (one,) = parameters(parse("amqps://u:p@h"), "me", QueueOptions(tls=ours))

    assert one.ssl_options.context is ours


def understand(url: str) -> None:
    """Reads the address as the queue does that opens there. Raises ValueError."""
    if url.startswith("amqp"):
        parameters(parse(url), "me", QueueOptions())
    else:
        Server(url, "me", None)


@settings(max_examples=400, deadline=None)
@given(ANY_VALUE)
def test_an_address_that_the_settings_take_can_be_read(url: str) -> None:
    try:
        taken = Settings.from_environ({"MOUSETRAP_BROKER_URL": url})
    except SettingsWrong:
        return
    understand(taken.broker_url)


@pytest.mark.parametrize("url", ["amqp://u:p%3F@a,[::1]:5/v", "valkeys://u:p@h/3", "redis://h"])
def test_the_settings_take_what_can_be_read(url: str) -> None:
    understand(Settings.from_environ({"MOUSETRAP_BROKER_URL": url}).broker_url)
