"""Makes the clients of a store patient, for a busy machine's server."""

import pytest


@pytest.fixture
def patient_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stands still for seconds costs a test its time, and no more: no error, and no second attempt.

    The API must report an absent store within two seconds, so a reply has one and a half. A module whose tests are about
    servers that do not answer has a fixture of this name that changes nothing.
    """
    monkeypatch.setattr("mousetrap.store_client.opening._CONNECT_TIMEOUT_S", 30.0)
    monkeypatch.setattr("mousetrap.store_client.opening._REPLY_TIMEOUT_S", 30.0)
    monkeypatch.setattr("mousetrap.stream_queue.stream_queue._REPLY_TIMEOUT_S", 30.0)


@pytest.fixture(autouse=True)
def _patient(patient_clients: None) -> None:
    """For all tests in this folder."""
