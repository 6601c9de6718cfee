"""Signs bodies with the newest key and verifies them with any key of the ring."""

import hmac
import secrets
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

#: The message header that holds the signature. The body is the whole envelope: nothing beside it has meaning to sign.
HEADER = "mousetrap-signature"

#: What a signature begins with: that of a message, and that of a record in the store. No one is good for the other.
_MESSAGE, _RECORD = "v1", "r1"
_SHORTEST = 16
#: Base64 as it may stand in addresses and names of files, without the padding.
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class SignatureRefused(Exception):
    """The message or record is not signed by a key of ours; what it says must not be believed."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """Secrets by key id, the signing one first. An empty ring signs nothing and takes everything.

    To rotate: add the new key behind the old one everywhere, then put it first, then drop the old one once no message
    signed with it can still be on its way.
    """

    #: Not in the repr: a traceback or a log line must not show it.
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """The ring written as `id:secret`, several separated by commas or line ends.

        Raises ValueError, naming the key's place but never its secret.
        """
        keys: dict[str, bytes] = {}
        for place, entry in enumerate(text.replace("\n", ",").split(","), start=1):
            if not entry.strip():
                continue
            key_id, colon, secret = entry.strip().partition(":")
            if not colon or not (key_id.isascii() and key_id.isalnum()):
                raise ValueError(
                    f"key {place} is not of the form id:secret, with an id of letters a-z and digits"
                )
            if len(secret) < _SHORTEST:
                raise ValueError(
                    f"the secret of key {key_id!r} has under {_SHORTEST} characters: make a longer one"
                )
            if key_id in keys:
                raise ValueError(f"key id {key_id!r} stands twice: give each key its own id")
            keys[key_id] = secret.encode()
        return cls(keys)

    def headers(self, body: bytes) -> dict[str, str]:
        """The header that signs `body`; none with an empty ring."""
        signature = self._sign(_MESSAGE, body)
        return {HEADER: signature} if signature else {}

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Returns if `body` is signed by a key of the ring, or the ring is empty. Raises SignatureRefused.

        There is no replay window: a redelivery or a long delay is legitimate. A job that comes again is known by its id.
        """
        self._check(_MESSAGE, "the message", body, headers.get(HEADER, ""))

    def sign_record(self, about: Sequence[str | int], value: bytes) -> str:
        """The signature of `value` as what the store keeps `about` something; empty with an empty ring.

        It fits no other value and nothing else, so that a record of one job cannot be put in place of another's.
        """
        return self._sign(_RECORD, _record(about, value)) if self.keys else ""

    def verify_record(self, about: Sequence[str | int], value: bytes, signature: str) -> None:
        """Returns if `sign_record` of a key of the ring gave `signature`, or the ring is empty. Raises SignatureRefused."""
        if self.keys:
            self._check(_RECORD, "the record in the store", _record(about, value), signature)

    def _sign(self, version: str, body: bytes) -> str:
        for key_id, secret in self.keys.items():
            return _signature(f"{version}.{key_id}.", secret, body)
        return ""

    def _check(self, version: str, what: str, body: bytes, signature: str) -> None:
        if not self.keys:
            return
        made_as, _, rest = signature.partition(".")
        if not rest:
            raise SignatureRefused(f"{what} is not signed")
        key_id = rest.partition(".")[0]
        secret = self.keys.get(key_id)
        if made_as != version or secret is None:
            raise SignatureRefused(f"{what} is signed with a key that is not in MOUSETRAP_SIGNING_KEYS")
        right = _signature(f"{version}.{key_id}.", secret, body)
        if not hmac.compare_digest(right.encode(), signature.encode("ascii", "replace")):
            raise SignatureRefused(f"the signature does not fit {what}: it was changed after it was signed")


def new_signing_key() -> str:
    """A new key for MOUSETRAP_SIGNING_KEYS, `id:secret`; the id is random, so that old and new keys have different ids."""
    return f"{secrets.token_hex(4)}:{secrets.token_urlsafe(32)}"


def _record(about: Sequence[str | int], value: bytes) -> bytes:
    # A list in JSON ends where it ends: no part of it can be moved to its neighbour or into the value.
    return msgspec.json.encode(about) + value


def _signature(start: str, secret: bytes, body: bytes) -> str:
    # The key id has a bound alphabet, so the dot at the start's end cannot be moved between it and the body.
    mac = _begun(start, secret).copy()
    mac.update(body)
    return start + b2a_base64(mac.digest(), newline=False).translate(_URL_SAFE, b"=").decode()


@lru_cache(maxsize=64)
def _begun(start: str, secret: bytes) -> hmac.HMAC:
    # Set up once and copied: 2.1 instead of 2.5 microseconds for the signature of a small message.
    return hmac.new(secret, start.encode(), "sha256")
