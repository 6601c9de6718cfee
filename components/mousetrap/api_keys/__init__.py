"""Who may call the API: keys with scopes, kept as digests."""

from mousetrap.api_keys.keys import ApiKeys, Caller, Scope, new_key

__all__ = ["ApiKeys", "Caller", "Scope", "new_key"]
