"""Signs bodies with the newest key and verifies them with any key of the ring."""

import hmac
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass, field

#: The message header that holds the signature. The body is the whole envelope: nothing beside it has meaning to sign.
HEADER = "mousetrap-signature"

_VERSION = "v1"
_SHORTEST = 16
#: Base64 as it may stand in addresses and names of files, without the padding.
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


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
        for key_id, secret in self.keys.items():
            return {HEADER: _signature(f"{_VERSION}.{key_id}.", secret, body)}
        return {}

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Returns if `body` is signed by a key of the ring, or the ring is empty. Raises SignatureRefused.

        There is no replay window: a redelivery or a long delay is legitimate. A job that comes again is known by its id.
        """
        if not self.keys:
            return
        signature = headers.get(HEADER, "")
        version, _, rest = signature.partition(".")
        if not rest:
            raise SignatureRefused("the message is not signed")
        key_id = rest.partition(".")[0]
        secret = self.keys.get(key_id)
        if version != _VERSION or secret is None:
            raise SignatureRefused("the message is signed with a key that is not in MOUSETRAP_SIGNING_KEYS")
        right = _signature(f"{_VERSION}.{key_id}.", secret, body)
        if not hmac.compare_digest(right.encode(), signature.encode("ascii", "replace")):
            raise SignatureRefused(
                "the signature does not fit the message: it was changed after it was signed"
            )


def _signature(start: str, secret: bytes, body: bytes) -> str:
    # The key id has a bound alphabet, so the dot at the start's end cannot be moved between it and the body.
    mac = hmac.digest(secret, start.encode() + body, "sha256")
    return start + b2a_base64(mac, newline=False).translate(_URL_SAFE, b"=").decode()
