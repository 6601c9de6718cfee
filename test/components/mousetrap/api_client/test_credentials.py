"""A key is sent only where no stranger can read it."""

import pytest

from mousetrap.api_client import Misused, authorization, may_use_proxy

FAR = ["http://example.org", "http://8.8.8.8", "http://134744072", "http://0x08080808", "http://01002004010"]
NEAR = [
    "http://127.0.0.1:8000",
    "http://[::1]",
    "http://10.0.0.7",
    "http://api",
    "http://api.internal",
    "http://api1",
]


@pytest.mark.parametrize("url", FAR)
def test_a_key_is_not_sent_in_the_clear_to_a_far_host(url: str) -> None:
    with pytest.raises(Misused, match="write https://") as refused:
        authorization(url, "a-secret")

    assert "a-secret" not in str(refused.value)
    assert authorization(url, "") == {}


@pytest.mark.parametrize("url", [*NEAR, "https://example.org", "https://134744072"])
def test_a_key_is_sent_to_a_near_host_and_over_tls(url: str) -> None:
    assert authorization(url, "a-secret") == {"Authorization": "Bearer a-secret"}


def test_no_proxy_carries_a_key_in_the_clear_or_requests_to_this_machine() -> None:
    assert not may_use_proxy("http://api.internal", "a-secret")
    assert may_use_proxy("http://api.internal", "")
    assert may_use_proxy("https://example.org", "a-secret")
    assert not may_use_proxy("http://127.0.0.1", "")
    assert not may_use_proxy("http://localhost", "")
