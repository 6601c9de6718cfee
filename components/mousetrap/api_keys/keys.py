"""Makes API keys, reads their entries, finds a key's caller."""

import hashlib
import hmac
import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

#: No underscore, which ends the id within a key.
_ID = re.compile(r"[a-z0-9-]{1,32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: Random bytes in a key. They cannot be guessed, so one round of SHA-256 is enough for the digest.
_RANDOM_BYTES = 32
#: Where a request within the process has its caller, whose key or session is checked already. No request from outside can
#: have it there: it is in the scope, which is the server's, and in no header.
SIGNED_IN = "mousetrap.signed_in"
_FORM = "id:scopes:sha256, or id:scopes:sha256:YYYY-MM-DD for a key that ends"


class Scope(StrEnum):
    """What a key permits; no scope includes another."""

    #: See pipelines, runs and results.
    READ = "read"
    #: Start runs.
    RUN = "run"
    #: Change what runs.
    OPERATE = "operate"


#: What each scope allows, for people.
ALLOWS: Mapping[Scope, str] = {
    Scope.READ: "see runs, results, queues, dead letters",
    Scope.RUN: "start runs",
    Scope.OPERATE: "cancel, rerun, redrive, discard, see the audit trail",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a key."""

    id: str
    scopes: frozenset[Scope]
    #: Seconds since 1970 at which the key ends.
    ends_s: float = math.inf

    @property
    def last_day(self) -> date | None:
        """The last day, in UTC, that the key is good for; None for a key that does not end."""
        if self.ends_s == math.inf:
            return None
        return datetime.fromtimestamp(self.ends_s, UTC).date() - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """Callers by id, each with the digest of its whole key."""

    callers: Mapping[str, tuple[Caller, bytes]] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> "ApiKeys":
        """The keys written as `id:scopes:sha256`, scopes joined by `+`, entries separated by commas or line ends.

        A key that ends has its last day (UTC) after that: `id:scopes:sha256:2027-02-26`. Raises ValueError, naming the entry's place or id.
        """
        callers: dict[str, tuple[Caller, bytes]] = {}
        for place, entry in enumerate(text.replace("\n", ",").split(","), start=1):
            if not entry.strip():
                continue
            caller, digest = _read(place, entry.strip())
            if caller.id in callers:
                raise ValueError(f"key id {caller.id!r} is given twice: give each key its own id")
            callers[caller.id] = caller, digest
        return cls(callers)

    def __bool__(self) -> bool:
        return bool(self.callers)

    def find(self, key: str) -> Caller | None:
        """The caller whose key this is, though it may have ended."""
        _, _, rest = key.partition("_")
        # An unknown id is compared as well: the time of a response must not reveal which ids exist.
        caller, digest = self.callers.get(rest.partition("_")[0], (None, bytes(32)))
        return caller if hmac.compare_digest(_digest(key), digest) else None

    def mark(self, caller: Caller, what: bytes) -> str:
        """A mark on `what` that only a holder of the digest of the caller's key can make."""
        _, digest = self.callers[caller.id]
        return _mark(digest, what)

    def find_marked(self, key_id: str, what: bytes, mark: str) -> Caller | None:
        """The caller, though it may have ended, whose key marked `what`; None once that key is replaced or taken out."""
        caller, digest = self.callers.get(key_id, (None, bytes(32)))
        return caller if hmac.compare_digest(_mark(digest, what).encode(), mark.encode()) else None


def new_key(
    key_id: str, scopes: Iterable[str], chance: bytes, *, last_day: date | None = None
) -> tuple[str, str]:
    """A key to hand out, and the entry to keep of it. Raises ValueError for a wrong id, no or unknown scopes."""
    if len(chance) < _RANDOM_BYTES:
        raise ValueError(f"a key needs {_RANDOM_BYTES} random bytes")
    secret = urlsafe_b64encode(chance).decode().rstrip("=")
    key = f"mt_{key_id}_{secret}"
    entry = f"{key_id}:{'+'.join(scopes)}:{_digest(key).hex()}{f':{last_day}' if last_day else ''}"
    _read(1, entry)
    return key, entry


def _read(place: int, entry: str) -> tuple[Caller, bytes]:
    key_id, _, rest = entry.partition(":")
    scopes, _, rest = rest.partition(":")
    digest, colon, last_day = rest.partition(":")
    # A text that is no id may be a whole key, pasted here by mistake: the error does not quote it.
    if not _ID.fullmatch(key_id):
        raise ValueError(f"key {place} is not of the form {_FORM}, with an id of 1 to 32 of a-z, 0-9 and -")
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"key {key_id!r} has no SHA-256 digest of 64 hexadecimal digits behind its scopes")
    ends_s = _end(key_id, last_day) if colon else math.inf
    try:
        return Caller(key_id, frozenset(map(Scope, scopes.split("+"))), ends_s), bytes.fromhex(digest)
    except ValueError:
        raise ValueError(f"key {key_id!r} needs scopes out of {', '.join(Scope)}, joined by +") from None


def _end(key_id: str, last_day: str) -> float:
    try:
        day = datetime.strptime(last_day, "%Y-%m-%d").replace(tzinfo=UTC)
        return (day + timedelta(days=1)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"key {key_id!r} needs its last day as YYYY-MM-DD behind its digest") from None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _mark(digest: bytes, what: bytes) -> str:
    return hmac.digest(digest, what, "sha256").hex()
