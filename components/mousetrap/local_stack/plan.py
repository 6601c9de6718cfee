"""Decides what a stack on this machine consists of: pure, from the settings that were given."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from mousetrap.settings import Settings

#: Each child of the stack: the name its output is shown under, and the module it runs.
PROGRAMS = {
    "api": "mousetrap.api",
    "fetch-worker": "mousetrap.fetch_worker",
    "process-worker": "mousetrap.process_worker",
}


#: Settings that are each process's own.
_OWN = frozenset(
    f"MOUSETRAP_{name}"
    for name in ("API_URL", "API_HOST", "API_PORT", "HEALTH_HOST", "HEALTH_PORT", "LOG_LEVEL", "LOG_FORMAT")
)


class Plan(NamedTuple):
    """What the stack needs beyond what was given."""

    #: Whether broker or store, or both, are the embedded server.
    embedded: bool
    #: The API's address for this machine.
    api_url: str
    #: A week of earthquakes that can be fetched without internet.
    feed_url: str
    #: MOUSETRAP_ variables for all its processes: those that were not given, or that say more than what was given.
    variables: Mapping[str, str]


def make_plan(
    settings: Settings,
    given: frozenset[str],
    folder: Path,
    *,
    api_port: int,
    valkey_address: Path,
    feed_url: str,
) -> Plan:
    """The plan for a stack whose own data lie in `folder`; `feed_url` may be fetched although it points inward.

    `given` names the settings that are no defaults. Secrets are named by their files: the embedded server's address, which has
    its password in it, lies in the file `valkey_address`.
    """
    wanted = {
        "broker_url": ("MOUSETRAP_BROKER_URL_FILE", valkey_address),
        "store_url": ("MOUSETRAP_STORE_URL_FILE", valkey_address),
        "database_url": ("MOUSETRAP_DATABASE_URL", f"sqlite:///{folder / 'summaries.db'}"),
        "signing_keys": ("MOUSETRAP_SIGNING_KEYS_FILE", folder / "signing.key"),
        "feed_url": ("MOUSETRAP_FEED_URL", feed_url),
    }
    variables = {variable: str(value) for name, (variable, value) in wanted.items() if name not in given}
    allowed = ",".join(filter(None, (settings.fetch_allow, urlsplit(feed_url).netloc)))
    host = settings.api_host if settings.api_host not in ("0.0.0.0", "::", "") else "127.0.0.1"
    return Plan(
        embedded=not {"broker_url", "store_url"} <= given,
        api_url=f"http://{f'[{host}]' if ':' in host else host}:{api_port}",
        feed_url=feed_url,
        variables={**variables, "MOUSETRAP_API_PORT": str(api_port), "MOUSETRAP_FETCH_ALLOW": allowed},
    )


def exports(plan: Plan, environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """What others need to be part of the stack whose processes were started with `environment`, in `folder`."""
    ours = {
        name: str(folder / value) if name.endswith("_FILE") or name.startswith("MOUSETRAP_TLS_") else value
        for name, value in environment.items()
        if name.startswith(("MOUSETRAP_", "RABBITMQ_")) and name.removesuffix("_FILE") not in _OWN
    }
    return {**ours, "MOUSETRAP_API_URL": plan.api_url}


def environment_of(plan: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    """What the stack's processes are started with: `environ`, with the plan's variables in place of their equals."""
    replaced = {f"{name}_FILE" for name in plan.variables}  # both at once would be refused
    return {**{name: value for name, value in environ.items() if name not in replaced}, **plan.variables}
