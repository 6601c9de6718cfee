"""Shows what this server is, its settings, its broker and store."""

import asyncio
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import APIRouter, Request

from mousetrap import shapes
from mousetrap.api.access import may_operate
from mousetrap.api.health import failure_of
from mousetrap.api.problems import NO_ACCESS, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import Services, WithServices
from mousetrap.api.version import INTERFACE_VERSION
from mousetrap.jobs import MousetrapError
from mousetrap.run_store import StoreInfo
from mousetrap.settings import ENGINE, OFF, Settings, masked
from mousetrap.telemetry import version_of_program

router = APIRouter(tags=["health"], route_class=Route)

#: Lists of keys, of which the first part is an id.
_KEYS = ("signing_keys", "api_keys")
#: Settings with such a word in their names are shown as three stars.
_SECRET = ("key", "secret", "token", "password")
_NO_SECRET = ("tls_key",)  # a file's path
_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of this process from its start on."""

    settings: Settings
    started_ms: int

    @classmethod
    def starting(cls, settings: Settings) -> "Server":
        """A server that starts now."""
        return cls(settings, int(time.time() * 1000))


@router.get("/about", dependencies=[may_operate], responses=refusals(*NO_ACCESS))
async def show_about(request: Request, services: WithServices) -> shapes.About:
    """The server that answers: its version and settings, and whether its broker and store answer. Other servers may have others."""
    server: Server = request.app.state.server
    settings = server.settings
    broker_failed, store = await asyncio.gather(failure_of(services.queue.check), _store(services, settings))
    return shapes.About(
        version=version_of_program(),
        interface=INTERFACE_VERSION,
        python=platform.python_version(),
        host=platform.node(),
        started_ms=server.started_ms,
        broker=shapes.Used(address=masked(settings.broker_url), problem=_text(broker_failed)),
        store=store,
        settings=tuple(_shown(settings)),
    )


async def _store(services: Services, settings: Settings) -> shapes.StoreUsed:
    address = masked(settings.store_url)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            info: StoreInfo = await services.store.info()
    except (MousetrapError, TimeoutError) as error:
        return shapes.StoreUsed(address=address, problem=_text(error))
    return shapes.StoreUsed(
        address=address,
        server=info.server,
        policy=info.policy,
        appends=info.appends,
        used_bytes=info.used_bytes,
        max_bytes=info.max_bytes,
    )


def _text(error: Exception | None) -> str | None:
    return None if error is None else masked(str(error)) or "it did not answer in time"


def _shown(settings: Settings) -> Iterator[shapes.SettingShown]:
    """The engine's settings. Those of other groups are not shown: no name of theirs is known to be harmless."""
    default = ENGINE.values()
    for name in type(default).__struct_fields__:
        value = getattr(settings, name)
        yield shapes.SettingShown(
            name=f"MOUSETRAP_{name.upper()}",
            value=_value(name, str(value)),
            is_default=value == getattr(default, name),
        )


def _value(name: str, text: str) -> str:
    if name in _KEYS and text != OFF:
        return ", ".join(
            each.strip().partition(":")[0] for each in text.replace("\n", ",").split(",") if each.strip()
        )
    if text and any(word in name for word in _SECRET) and name not in (*_KEYS, *_NO_SECRET):
        return "***"
    return masked(text)
