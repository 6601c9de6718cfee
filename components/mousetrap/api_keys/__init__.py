"""Makes and checks the API's keys; keeps only their digests."""

from mousetrap.api_keys.keys import ALLOWS, SIGNED_IN, ApiKeys, Caller, Scope, new_key

__all__ = ["ALLOWS", "SIGNED_IN", "ApiKeys", "Caller", "Scope", "new_key"]
