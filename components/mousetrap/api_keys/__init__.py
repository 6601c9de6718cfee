"""Makes and checks the API's keys; keeps only their digests."""

from mousetrap.api_keys.keys import ALLOWS, ApiKeys, Caller, Scope, new_key

__all__ = ["ALLOWS", "ApiKeys", "Caller", "Scope", "new_key"]
