"""Decides who may call: holders of keys with the scope, or without any keys whoever sits at this machine."""

from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes

from mousetrap.api.problems import Problem
from mousetrap.api_keys import ApiKeys, Caller, Scope
from mousetrap.settings import Settings, SettingsWrong

_ANYBODY = Caller("", frozenset(Scope))
_bearer = HTTPBearer(auto_error=False, description="A key: mt_<id>_<secret>.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="A key: mt_<id>_<secret>.")


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


def caller_of(request: Request, *wanted: str) -> Caller:
    """Who calls. Raises Problem for whoever has not all the wanted scopes."""
    keys: ApiKeys = request.app.state.keys
    if not keys:
        _check_origin(request)
        return _ANYBODY
    caller = _identify(keys, _key_of(request))
    missing = set(wanted) - caller.scopes
    if missing:
        needed = ", ".join(sorted(missing))
        raise Problem("scope-missing", f"key {caller.id!r} lacks the scope {needed}: use a key that has it")
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


def _identify(keys: ApiKeys, key: str | None) -> Caller:
    if not key:
        raise Problem(
            "key-missing",
            "send a key as `Authorization: Bearer mt_…` or `X-API-Key: mt_…`",
            headers={"WWW-Authenticate": 'Bearer realm="mousetrap"'},
        )
    caller = keys.find(key)
    if caller is None:
        raise Problem(
            "key-unknown",
            "check the key: it is not, or not any more, in MOUSETRAP_API_KEYS of this server",
            headers={"WWW-Authenticate": 'Bearer realm="mousetrap", error="invalid_token"'},
        )
    return caller


def _check_origin(request: Request) -> None:
    """Without keys, a web page that a browser on this machine has open must not be able to call."""
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    if not _is_loopback(urlsplit(f"//{host}").hostname or "") or origin not in (None, f"http://{host}"):
        raise Problem(
            "foreign-origin",
            "call http://127.0.0.1 or http://localhost from no other page, or set MOUSETRAP_API_KEYS",
        )


@lru_cache(maxsize=16)
def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
