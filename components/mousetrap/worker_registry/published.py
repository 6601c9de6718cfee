"""Keeps a worker's manifests under a digest, signed."""

import hashlib
from dataclasses import dataclass

from mousetrap.signing import Keyring, SignatureRefused

_ABOUT = ("manifests",)
_SEAM = b"\n"


@dataclass(frozen=True, slots=True)
class Published:
    """The manifests of a worker as the store keeps them. Workers of the same pipelines and key share one."""

    digest: str
    #: The signature, a line end, the manifests.
    record: bytes

    @classmethod
    def of(cls, manifests: bytes, keyring: Keyring) -> "Published":
        """What a worker publishes."""
        return cls.read(keyring.sign_record(_ABOUT, manifests).encode() + _SEAM + manifests)

    @classmethod
    def read(cls, record: bytes) -> "Published":
        """A record of the store, under the digest that it has."""
        return cls(hashlib.sha256(record).hexdigest(), record)

    def manifests(self, keyring: Keyring) -> bytes:
        """The manifests, if a key of the ring signed them. Raises SignatureRefused."""
        signature, seam, manifests = self.record.partition(_SEAM)
        if not seam:
            raise SignatureRefused("the record in the store is no manifest")
        keyring.verify_record(_ABOUT, manifests, signature.decode("ascii", "replace"))
        return manifests


#: Of a worker that publishes none.
NOTHING = Published("", b"")


@dataclass(frozen=True, slots=True)
class InUse:
    """Manifests that the store lists."""

    digest: str
    #: The live workers that have these, the one that started last at the end, and when it did.
    workers: tuple[str, ...]
    started_ms: int
    #: The last beat of a worker with these. Both are milliseconds since 1970 by the store's clock.
    seen_ms: int
