"""Signatures: only those of a key of ours are accepted."""

import hmac
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.signing import HEADER, Keyring, SignatureRefused, new_signing_key

OLD, NEW = "k1:an-old-secret-of-ours", "k2:a-new-secret-of-ours"


@given(st.binary())
def test_our_own_signature_is_accepted(body: bytes) -> None:
    ring = Keyring.parse(NEW)

    ring.verify(body, ring.headers(body))


@given(
    st.text("abcXYZ019-_", min_size=16, max_size=200),
    st.lists(st.binary(max_size=300), min_size=2, max_size=2),
)
def test_a_signature_is_the_hmac_of_its_parts(secret: str, parts: list[bytes]) -> None:
    """As the standard library computes it: every version signs alike, with a secret shorter and longer than a block."""
    ring = Keyring.parse(f"k:{secret}")
    about, value = parts[0].hex(), parts[1]

    message = hmac.digest(secret.encode(), b"v1.k." + value, "sha256")
    record = hmac.digest(secret.encode(), b'r1.k.["%b"]%b' % (about.encode(), value), "sha256")

    assert ring.headers(value) == {HEADER: f"v1.k.{urlsafe_b64encode(message).decode().rstrip('=')}"}
    assert ring.sign_record([about], value) == f"r1.k.{urlsafe_b64encode(record).decode().rstrip('=')}"


def test_during_a_rotation_both_keys_are_taken_and_the_first_one_signs() -> None:
    before, both, after = Keyring.parse(OLD), Keyring.parse(f"{NEW},{OLD}"), Keyring.parse(NEW)

    both.verify(b"x", before.headers(b"x"))
    after.verify(b"x", both.headers(b"x"))
    with pytest.raises(SignatureRefused, match="not in MOUSETRAP_SIGNING_KEYS"):
        after.verify(b"x", before.headers(b"x"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {HEADER: ""},
        {HEADER: "v1.k2"},
        {HEADER: "v1.k2."},
        {HEADER: "v2.k2.AAAA"},
        {HEADER: "v1.k9.AAAA"},
        {HEADER: "v1.k2.AAAA"},
        {HEADER: "v1.k2.äöü"},
        Keyring.parse(NEW).headers(b"other"),
        Keyring.parse("k2:another-secret-here").headers(b"x"),
    ],
)
def test_every_other_signature_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureRefused):
        Keyring.parse(NEW).verify(b"x", headers)


def test_an_empty_ring_signs_nothing_and_takes_everything() -> None:
    ring = Keyring.parse("")

    assert ring.headers(b"x") == {}
    ring.verify(b"x", {})
    ring.verify(b"x", {HEADER: "v1.k1.AAAA"})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("secret-without-an-id", "key 1 is not of the form"),
        (f"{OLD},k-2:a-secret-long-enough", "key 2 is not of the form"),
        ("k1:short", "under 16 characters"),
        (f"{OLD},{OLD}", "appears twice"),
    ],
)
def test_a_ring_that_is_written_wrong_is_refused_without_showing_a_secret(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what) as refused:
        Keyring.parse(text)

    assert "secret-" not in str(refused.value)
    assert "short" not in str(refused.value)


def test_a_ring_never_shows_its_secrets() -> None:
    assert "secret" not in repr(Keyring.parse(OLD))


names = st.lists(st.text(max_size=5) | st.integers(), max_size=4)


@given(names, st.binary(), names, st.binary())
def test_a_record_is_good_for_what_it_is_about_and_for_nothing_else(
    about: list[str | int], value: bytes, other: list[str | int], another: bytes
) -> None:
    ring = Keyring.parse(f"{NEW},{OLD}")
    signature = ring.sign_record(about, value)

    ring.verify_record(about, value, signature)
    Keyring.parse(f"{OLD},{NEW}").verify_record(about, value, signature)
    if (about, value) != (other, another):
        with pytest.raises(SignatureRefused):
            ring.verify_record(other, another, signature)
    with pytest.raises(SignatureRefused):
        ring.verify(value, {HEADER: signature})
    with pytest.raises(SignatureRefused):
        ring.verify_record(about, value, ring.headers(value)[HEADER])


def test_without_keys_records_are_neither_signed_nor_verified() -> None:
    assert Keyring().sign_record(["verdict"], b"x") == ""
    Keyring().verify_record(["verdict"], b"x", "r1.k1.AAAA")


def test_new_signing_keys_are_all_different_and_fit_into_one_ring() -> None:
    ring = Keyring.parse(",".join(new_signing_key() for _ in range(20)))
    assert len(ring.keys) == len(set(ring.keys.values())) == 20
