"""Signs bodies with the newest key and verifies them with any key of the ring."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

#: The message header that holds the signature. The body is the whole envelope: nothing beside it has meaning to sign.
HEADER = "mousetrap-signature"

_VERSION = "v1"
_SHORTEST = 16


class SignatureRefused(Exception):
    """The message is not signed by a key of ours; what it says must not be believed."""


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
            if not colon or not key_id.isalnum():
                raise ValueError(
                    f"key {place} is not of the form id:secret, with an id of letters and digits"
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
        for key_id, secret in self.keys.items():
            return {HEADER: f"{_VERSION}.{key_id}.{_digest(key_id, secret, body)}"}
        return {}

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Returns if `body` is signed by a key of the ring, or the ring is empty. Raises SignatureRefused.

        There is no replay window: a redelivery or a long delay is legitimate. A job that comes again is known by its id.
        """
        if not self.keys:
            return
        version, _, rest = headers.get(HEADER, "").partition(".")
        key_id, _, digest = rest.partition(".")
        if not rest:
            raise SignatureRefused("the message is not signed")
        secret = self.keys.get(key_id)
        if version != _VERSION or secret is None:
            raise SignatureRefused("the message is signed with a key that is not in MOUSETRAP_SIGNING_KEYS")
        if not hmac.compare_digest(_digest(key_id, secret, body), digest.encode("ascii", "replace").decode()):
            raise SignatureRefused(
                "the signature does not fit the message: it was changed after it was signed"
            )


def _digest(key_id: str, secret: bytes, body: bytes) -> str:
    # The key id has a bound alphabet, so the dot cannot be moved between it and the body.
    mac = hmac.digest(secret, b"%b.%b.%b" % (_VERSION.encode(), key_id.encode(), body), hashlib.sha256)
    return urlsafe_b64encode(mac).decode().rstrip("=")
