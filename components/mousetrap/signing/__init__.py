"""Whether a message is ours: HMAC-SHA256 signatures with key ids, so that keys can be rotated."""

from mousetrap.signing.keyring import HEADER, Keyring, SignatureRefused, new_signing_key

__all__ = ["HEADER", "Keyring", "SignatureRefused", "new_signing_key"]
