"""Decides who may call: holders of keys with the scope, or without any keys whoever sits at this machine."""

import math
import time
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes

from mousetrap.api.audit import note_caller
from mousetrap.api.problems import Problem
from mousetrap.api.rates import Rates
from mousetrap.api_keys import ALLOWS, ApiKeys, Caller, Scope
from mousetrap.settings import Settings, SettingsWrong

_ANYBODY = Caller("", frozenset(Scope))
#: Headers that a proxy sets: a caller behind one sits anywhere.
_OF_PROXIES = frozenset(
    (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip")
)
#: What a browser says of a request that no other page made.
_OF_NO_OTHER_PAGE = (None, "same-origin", "none")
#: Wrong keys from one address: a second, and at once.
_WRONG_RATE, _WRONG_BURST = 1.0, 100.0
_INVALID = {"WWW-Authenticate": 'Bearer realm="mousetrap", error="invalid_token"'}
_SCOPES = (
    f"There are: {'; '.join(f'{scope} ({what})' for scope, what in ALLOWS.items())}. None includes another"
)
_ABOUT = f"A key: mt_<id>_<secret>, with one scope or several. {_SCOPES}."
_bearer = HTTPBearer(auto_error=False, description=_ABOUT)
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description=_ABOUT)


def read_keys(settings: Settings) -> ApiKeys:
    """The keys of `settings`. Raises SettingsWrong for wrong ones, and for none where others than this machine call."""
    try:
        keys = ApiKeys.parse(settings.api_keys)
    except ValueError as error:
        raise SettingsWrong(f"MOUSETRAP_API_KEYS: {error}") from None
    if not keys and not _is_loopback(settings.api_host):
        raise SettingsWrong(
            f"MOUSETRAP_API_KEYS: set at least one key, because MOUSETRAP_API_HOST ({settings.api_host}) lets other "
            "machines in; `mousetrap keys new` makes one"
        )
    return keys


class Access:
    """The keys, and how often callers may call."""

    def __init__(self, settings: Settings) -> None:
        self.keys = read_keys(settings)
        self.rates = Rates(settings.api_rate, max(1.0, 2 * settings.api_rate)) if settings.api_rate else None
        self.wrong = Rates(_WRONG_RATE, _WRONG_BURST)

    def count(self, caller: Caller, address: str) -> None:
        """Raises Problem for a caller who calls too often."""
        if self.rates and (wait := self.rates.wait_s(caller.id or address, time.monotonic())):
            raise _too_often("MOUSETRAP_API_RATE bounds how often a caller may call", wait)


def caller_of(request: Request, *wanted: str) -> Caller:
    """Who calls. Raises Problem for whoever has not all the wanted scopes."""
    access: Access = request.app.state.access
    address = request.client.host if request.client else ""
    if not access.keys:
        _check_origin(request)
        note_caller(request, _ANYBODY.id)
        access.count(_ANYBODY, address)
        return _ANYBODY
    caller = _identify(request, access, address)
    note_caller(request, caller.id)
    access.count(caller, address)
    missing = set(wanted) - caller.scopes
    if missing:
        needed = ", ".join(sorted(missing))
        raise Problem(
            "scope-missing", f"key {caller.id!r} lacks the scope {needed}: use a key that has it. {_SCOPES}"
        )
    return caller


async def _caller(
    wanted: SecurityScopes,
    request: Request,
    _bearer: Annotated[object, Security(_bearer)],  # both for the documentation alone
    _header: Annotated[object, Security(_header)],
) -> Caller:
    return caller_of(request, *wanted.scopes)


#: For the signatures of routes, and for routes that need not know who calls.
Starter = Annotated[Caller, Security(_caller, scopes=[Scope.RUN])]
Operator = Annotated[Caller, Security(_caller, scopes=[Scope.OPERATE])]
may_read = Security(_caller, scopes=[Scope.READ])
may_operate = Security(_caller, scopes=[Scope.OPERATE])


def _key_of(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else request.headers.get("x-api-key")


def _identify(request: Request, access: Access, address: str) -> Caller:
    key = _key_of(request)
    if not key:
        raise Problem(
            "key-missing",
            "send a key as `Authorization: Bearer mt_…` or `X-API-Key: mt_…`",
            headers={"WWW-Authenticate": 'Bearer realm="mousetrap"'},
        )
    caller = access.keys.find(key)
    if caller is None:
        if wait := access.wrong.wait_s(address, time.monotonic()):
            raise _too_often("too many wrong keys came from this address", wait)
        raise Problem(
            "key-unknown",
            "check the key: it is not, or not any more, in MOUSETRAP_API_KEYS of this server",
            headers=_INVALID,
        )
    if caller.ends_s <= time.time():
        note_caller(request, caller.id)
        raise Problem(
            "key-ended",
            f"key {caller.id!r} was good until {caller.last_day}: ask for another; `mousetrap keys new` makes one",
            headers=_INVALID,
        )
    return caller


def _too_often(what: str, wait: float) -> Problem:
    return Problem("too-many-requests", what, headers={"Retry-After": str(math.ceil(wait))})


def _check_origin(request: Request) -> None:
    """Without keys, neither a web page that a browser has open here nor a caller behind a proxy may call."""
    headers = request.headers
    host = headers.get("host", "")
    foreign = headers.get("sec-fetch-site") not in _OF_NO_OTHER_PAGE or headers.get("origin") not in (
        None,
        f"http://{host}",
    )
    if foreign or not _is_loopback(_name_in(host)):
        raise Problem(
            "foreign-origin",
            "call http://127.0.0.1 or http://localhost from no other page, or set MOUSETRAP_API_KEYS",
        )
    # By the names as they came, once through: to ask for each of them by itself costs every request as many searches.
    if not _OF_PROXIES.isdisjoint(name for name, _ in headers.raw):
        raise Problem(
            "proxy-without-keys",
            "a proxy can lead here from any machine: set MOUSETRAP_API_KEYS, or call without one",
        )


def _name_in(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        raise Problem("malformed-host", "write Host as name:port or [IPv6]:port") from None


@lru_cache(maxsize=16)
def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
