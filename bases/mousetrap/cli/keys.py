"""Makes keys and shows them, once, with the line that puts each to use."""

import secrets
from datetime import UTC, datetime, timedelta

from mousetrap.api_client import Misused


def new_api_key(name: str, scopes: list[str], days: int | None = None) -> int:
    """Prints a new key for the API, and the entry that the API keeps of it; after `days` the key ends."""
    from mousetrap.api_keys import new_key

    last_day = datetime.now(UTC).date() + timedelta(days=days) if days else None
    try:
        key, entry = new_key(name, scopes, secrets.token_bytes(32), last_day=last_day)
    except ValueError as error:
        raise Misused(str(error)) from error
    print(f"# for {name}{f', good until {last_day} (UTC)' if last_day else ''}; it is shown this once")
    print(f"export MOUSETRAP_API_KEY={key}")
    print("# for the API; several entries are separated by commas")
    print(f"export MOUSETRAP_API_KEYS={entry}")
    return 0
