"""Who may call the API: keys with scopes, kept as digests."""

from mousetrap.api_keys.keys import ALLOWS, ApiKeys, Caller, Scope, new_key

__all__ = ["ALLOWS", "ApiKeys", "Caller", "Scope", "new_key"]
