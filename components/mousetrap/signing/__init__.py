"""Signs messages and records, and verifies signatures (HMAC-SHA256)."""

from mousetrap.signing.keyring import HEADER, Keyring, SignatureRefused, new_signing_key

__all__ = ["HEADER", "Keyring", "SignatureRefused", "new_signing_key"]
