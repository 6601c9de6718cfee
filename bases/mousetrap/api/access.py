"""Decides who may call: holders of keys; without configured keys, this machine."""

import math
import time
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes

from mousetrap.api.audit import CALLER
from mousetrap.api.problems import Kind, Problem
from mousetrap.api.rates import Rates
from mousetrap.api_keys import ALLOWS, SIGNED_IN, ApiKeys, Caller, Scope
from mousetrap.settings import Settings, SettingsWrong

#: The caller where no keys are configured.
_LOCAL = Caller("", frozenset(Scope))
#: Headers that a proxy sets: a caller behind one can be on any machine.
_PROXY_HEADERS = frozenset(
    (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip")
)
#: Values of Sec-Fetch-Site for a request that no other page made.
_OWN_PAGE = (None, "same-origin", "none")
#: Wrong keys from one address: how many a second, and how many at once.
_WRONG_RATE, _WRONG_BURST = 1.0, 100.0
#: The same for people who sign in: five a minute.
_FAILED_RATE, _FAILED_BURST = 5 / 60, 5.0
_INVALID = {"WWW-Authenticate": 'Bearer realm="mousetrap", error="invalid_token"'}
_SCOPES = (
    f"There are: {'; '.join(f'{scope} ({what})' for scope, what in ALLOWS.items())}. None includes another"
)
_ABOUT = f"A key: mt_<id>_<secret>, with one scope or several. {_SCOPES}."
_bearer = HTTPBearer(auto_error=False, description=_ABOUT)
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description=_ABOUT)


def read_keys(settings: Settings) -> ApiKeys:
    """The keys of `settings`. Raises SettingsWrong for wrong ones, and for none where other machines can call."""
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
        self.use(read_keys(settings))
        self.rates = Rates(settings.api_rate, max(1.0, 2 * settings.api_rate)) if settings.api_rate else None
        self.wrong = Rates(_WRONG_RATE, _WRONG_BURST)
        #: Wrong keys of people who sign in.
        self.failed = Rates(_FAILED_RATE, _FAILED_BURST)

    def use(self, keys: ApiKeys) -> None:
        """Checks callers against these keys from now on."""
        self.keys = keys
        #: True where no keys are configured.
        self.local_only = not keys

    def count(self, caller: Caller, address: str) -> None:
        """Raises Problem for a caller who calls too often."""
        if self.rates and (wait := self.rates.wait_s(caller.id or address, time.monotonic())):
            raise _too_often("MOUSETRAP_API_RATE bounds how often a caller may call", wait)


def caller_of(request: Request, *wanted: str) -> Caller:
    """The caller. Raises Problem for one that lacks a wanted scope."""
    access: Access = request.app.state.access
    address = address_of(request)
    caller: Caller | None = request.scope.get(SIGNED_IN)
    if caller is None:
        caller = _local(request) if access.local_only else _identify(request, access)
    request.scope[CALLER] = caller.id or "loopback"
    access.count(caller, address)
    check_scopes(caller, *wanted)
    return caller


def address_of(request: Request) -> str:
    """The caller's address."""
    return request.client.host if request.client else ""


def check_scopes(caller: Caller, *wanted: str) -> None:
    """Raises Problem for a caller that lacks a wanted scope."""
    missing = set(wanted) - caller.scopes
    if missing:
        needed = ", ".join(sorted(missing))
        raise Problem(
            Kind.SCOPE_MISSING,
            f"key {caller.id!r} lacks the scope {needed}: use a key that has it. {_SCOPES}",
        )


async def _caller(
    wanted: SecurityScopes,
    request: Request,
    _bearer: Annotated[object, Security(_bearer)],  # both only for the documentation
    _header: Annotated[object, Security(_header)],
) -> Caller:
    return caller_of(request, *wanted.scopes)


#: For the signatures of routes; the lower two for routes that need no caller.
Starter = Annotated[Caller, Security(_caller, scopes=[Scope.RUN])]
Operator = Annotated[Caller, Security(_caller, scopes=[Scope.OPERATE])]
may_read = Security(_caller, scopes=[Scope.READ])
may_operate = Security(_caller, scopes=[Scope.OPERATE])


def _key_of(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else request.headers.get("x-api-key")


def _identify(request: Request, access: Access) -> Caller:
    key = _key_of(request)
    if not key:
        raise Problem(
            Kind.KEY_MISSING,
            "send a key as `Authorization: Bearer mt_…` or `X-API-Key: mt_…`",
            headers={"WWW-Authenticate": 'Bearer realm="mousetrap"'},
        )
    return holder_of(key, request, access, access.wrong)


def holder_of(key: str, request: Request, access: Access, wrong: Rates) -> Caller:
    """The caller whose key this is. Raises Problem for one that is none of ours, or has ended; `wrong` bounds how often."""
    address = address_of(request)
    caller = access.keys.find(key)
    if caller is None:
        if wait := wrong.wait_s(address, time.monotonic()):
            raise _too_often("too many wrong keys came from this address", wait)
        raise Problem(
            Kind.KEY_UNKNOWN,
            "check the key: it is not, or not any more, in MOUSETRAP_API_KEYS of this server",
            headers=_INVALID,
        )
    if caller.ends_s <= time.time():
        request.scope[CALLER] = caller.id
        raise Problem(
            Kind.KEY_ENDED,
            f"key {caller.id!r} was good until {caller.last_day}: ask for another; `mousetrap keys new` makes one",
            headers=_INVALID,
        )
    return caller


def _local(request: Request) -> Caller:
    _check_origin(request)
    return _LOCAL


def _too_often(what: str, wait: float) -> Problem:
    return Problem(Kind.TOO_MANY_REQUESTS, what, headers={"Retry-After": str(math.ceil(wait))})


def _check_origin(request: Request) -> None:
    """Without keys, neither a web page that a browser has open here nor a caller behind a proxy may call."""
    headers = request.headers
    host = headers.get("host", "")
    foreign = headers.get("sec-fetch-site") not in _OWN_PAGE or headers.get("origin") not in (
        None,
        f"http://{host}",
    )
    if foreign:
        raise _foreign()
    check_machine(request)


def check_machine(request: Request) -> None:
    """Raises Problem for a caller who may be on another machine: by another name of this one, or behind a proxy."""
    headers = request.headers
    if not _is_loopback(_name_in(headers.get("host", ""))):
        raise _foreign()
    # One pass over the raw names: a lookup of each of these headers would search as often.
    if not _PROXY_HEADERS.isdisjoint(name for name, _ in headers.raw):
        raise Problem(
            Kind.PROXY_WITHOUT_KEYS,
            "through a proxy any machine can call: set MOUSETRAP_API_KEYS, or call without a proxy",
        )


def _foreign() -> Problem:
    return Problem(
        Kind.FOREIGN_ORIGIN,
        "call http://127.0.0.1 or http://localhost from no other page, or set MOUSETRAP_API_KEYS",
    )


def _name_in(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        raise Problem(Kind.MALFORMED_HOST, "write Host as name:port or [IPv6]:port") from None


@lru_cache(maxsize=16)
def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
