"""Decides what a stack on this machine consists of: pure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mousetrap.catalogue_entries import OpenSample, Sample, Worker
from mousetrap.settings import Group, Settings

#: The API among the programs of a stack.
API = "api"

#: Settings that are each process's own.
_OWN = frozenset(
    f"MOUSETRAP_{name}"
    for name in (
        *("API_URL", "API_HOST", "API_PORT", "HEALTH_HOST", "HEALTH_PORT", "LOG_LEVEL", "LOG_FORMAT"),
        "MODULES",
    )
)


class Parts(NamedTuple):
    """The entries of a catalogue that a stack runs."""

    workers: Mapping[str, Worker]
    groups: Sequence[Group[Any]]
    sample: OpenSample | None


class Plan(NamedTuple):
    """What a stack needs beside the settings that were given."""

    #: Whether broker or store, or both, are the embedded server.
    embedded: bool
    #: The API's address for this machine.
    api_url: str
    #: The run to try it with, if the catalogue has one.
    sample: Sample | None
    #: MOUSETRAP_ variables for all its processes: those that were not given, and those that add to what was given.
    variables: Mapping[str, str]


def programs(workers: Mapping[str, Worker]) -> Mapping[str, Sequence[str]]:
    """The processes of a stack beside its server: the name of each, and what `python -m` runs."""
    return {
        API: ("mousetrap.api",),
        **{f"{name}-worker": worker.command(name) for name, worker in workers.items()},
    }


def make_plan(
    settings: Settings,
    given: frozenset[str],
    folder: Path,
    *,
    api_port: int,
    valkey_address: Path,
    sample: Sample | None,
) -> Plan:
    """The plan for a stack whose own data are in `folder`; `given` names the settings that are no defaults.

    Secrets are passed by the names of their files: the embedded server's address contains its password, and is in the file
    `valkey_address`.
    """
    defaults = {
        "broker_url": ("MOUSETRAP_BROKER_URL_FILE", valkey_address),
        "store_url": ("MOUSETRAP_STORE_URL_FILE", valkey_address),
        "signing_keys": ("MOUSETRAP_SIGNING_KEYS_FILE", folder / "signing.key"),
    }
    variables = {variable: str(value) for name, (variable, value) in defaults.items() if name not in given}
    host = settings.api_host if settings.api_host not in ("0.0.0.0", "::", "") else "127.0.0.1"
    return Plan(
        embedded=not {"broker_url", "store_url"} <= given,
        api_url=f"http://{f'[{host}]' if ':' in host else host}:{api_port}",
        sample=sample,
        variables={
            **variables,
            "MOUSETRAP_API_PORT": str(api_port),
            **(sample.variables if sample else {}),
        },
    )


def exports(plan: Plan, environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The variables that make another process part of the stack that was started with `environment`, in `folder`."""
    ours = {
        name: str(folder / value) if name.endswith("_FILE") or name.startswith("MOUSETRAP_TLS_") else value
        for name, value in environment.items()
        if name.startswith(("MOUSETRAP_", "RABBITMQ_")) and name.removesuffix("_FILE") not in _OWN
    }
    return {**ours, "MOUSETRAP_API_URL": plan.api_url}


def environment_of(plan: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the stack's processes: `environ`, with the plan's variables in place of their equals."""
    replaced = {f"{name}_FILE" for name in plan.variables}  # both at once would be refused
    return {**{name: value for name, value in environ.items() if name not in replaced}, **plan.variables}
