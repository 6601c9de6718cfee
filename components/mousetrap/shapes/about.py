"""What a server of the API is, and what it uses."""

from dataclasses import dataclass
from typing import Annotated

from mousetrap.shapes.doc import Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Broker or store, as this server has it."""

    address: Annotated[str, Doc("Without its password.", ("amqp://mousetrap:***@broker:5672/",))]
    #: Why it cannot be used; null where it answers.
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUsed(Used):
    """The store, with what shows whether it may forget runs; null where it does not answer or report it."""

    server: Annotated[str | None, Doc("Its name and version.", ("valkey 9.1.0",))] = None
    policy: Annotated[str | None, Doc("What it does when its memory is full.", ("noeviction",))] = None
    appends: Annotated[bool | None, Doc("Whether each write goes to its append-only file.")] = None
    used_bytes: int | None = None
    max_bytes: Annotated[int | None, Doc("Of memory; 0 for no bound.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingShown:
    """A setting of the engine."""

    name: Annotated[str, Doc(examples=("MOUSETRAP_RETENTION_SECONDS",))]
    value: Annotated[str, Doc("Three stars for what is secret in it; of keys, their ids.", ("604800.0",))]
    #: Whether it is as it is without being set.
    is_default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A server of the API."""

    version: Annotated[str, Doc("`unreleased` for a checkout.", ("0.1.0",))]
    interface: Annotated[str, Doc("Of the HTTP interface.", ("2.0",))]
    python: Annotated[str, Doc(examples=("3.11.7",))]
    host: str
    #: When it started, in milliseconds since 1970.
    started_ms: int
    broker: Used
    store: StoreUsed
    settings: tuple[SettingShown, ...]
