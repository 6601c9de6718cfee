"""Makes the ids of runs, from time and chance or a key."""

import re
from uuid import UUID, uuid5

#: Any constant would do; changing it would break the promise that a repeated key returns the first run.
_KEYS = UUID("0b1d4d6e-2f55-5d3c-8a7e-93c5a6f1e204")

#: What a run id may be: safe in a URL, a log line and a key.
RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def new_run_id(now_ms: int, chance: bytes) -> str:
    """An id of 32 hexadecimal digits: the time in milliseconds, then ten bytes of `chance`."""
    return f"{now_ms:012x}{chance[:10].hex()}"


def run_id_of_key(owner: str, pipeline: str, key: str) -> str:
    """The id that `owner` gets for this idempotency key, always the same; two owners' equal keys do not meet."""
    return uuid5(_KEYS, f"{owner}|{pipeline}|{key}").hex
