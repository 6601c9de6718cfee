"""Makes and checks the keys of the API; keeps digests of them only."""

from mousetrap.api_keys.keys import ALLOWS, ApiKeys, Caller, Scope, new_key

__all__ = ["ALLOWS", "ApiKeys", "Caller", "Scope", "new_key"]
