"""The settings of a process, read once from its environment."""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar

from mousetrap.settings.broker_address import tutorial_url
from mousetrap.settings.engine import ENGINE, OFF, EngineSettings
from mousetrap.settings.environment import SettingsWrong, collect
from mousetrap.settings.groups import Group, SettingsGroup, entries, read_groups
from mousetrap.settings.masking import masked
from mousetrap.signing import Keyring

T = TypeVar("T", bound=SettingsGroup)


class Settings(EngineSettings, frozen=True, kw_only=True):
    """The engine's settings as fields, and those of other groups by `of`."""

    #: The values of the groups that were read, by prefix; None for settings that were not read from an environment.
    others: Mapping[str, Any] | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], groups: Sequence[Group[Any]] = ()) -> Self:
        """The settings of the engine and of `groups` that `environ` holds.

        Raises SettingsWrong, a line for each one that is wrong, and for a variable that is no setting of them.
        """
        values = read_groups(_texts(environ, groups), (ENGINE, *groups))
        engine = values.pop(ENGINE.prefix)
        settings = cls(**{name: getattr(engine, name) for name in engine.__struct_fields__}, others=values)
        _check_certificates(settings)
        return settings

    @classmethod
    def given_in(cls, environ: Mapping[str, str], groups: Sequence[Group[Any]] = ()) -> frozenset[str]:
        """The names of the settings that `environ` holds a value of; all others are defaults. Raises SettingsWrong."""
        return frozenset(_texts(environ, groups))

    def of(self, group: Group[T]) -> T:
        """The values of a group. Raises SettingsWrong for a group that was not read with the others."""
        if self.others is None:
            return group.values()
        if group.prefix not in self.others:
            raise SettingsWrong(
                f"the settings MOUSETRAP_{group.prefix.upper()}_… were not read: pass their group to from_environ, "
                "or `groups=SETTINGS` of the catalogue to worker_main"
            )
        values: T = self.others[group.prefix]
        return values

    @property
    def keyring(self) -> Keyring:
        """The keys that sign and verify messages and records; empty where signing is off."""
        return Keyring() if self.signing_keys == OFF else Keyring.parse(self.signing_keys)

    @property
    def held(self) -> int:
        """Jobs that a worker takes from each queue before it has finished one."""
        return self.prefetch or 2 * self.concurrency

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The context for broker and store when a certificate setting is given; None means the verifying default."""
        if not (self.tls_ca or self.tls_certificate):
            return None
        context = ssl.create_default_context(cafile=self.tls_ca or None)
        if self.tls_certificate:
            # A key that is locked is refused: without a password for it here, OpenSSL would ask the terminal.
            context.load_cert_chain(self.tls_certificate, self.tls_key or None, password="")
        return context


def _check_certificates(settings: Settings) -> None:
    if settings.tls_key and not settings.tls_certificate:
        raise SettingsWrong(
            "MOUSETRAP_TLS_KEY: it is the key of a certificate: set MOUSETRAP_TLS_CERTIFICATE too"
        )
    try:
        _ = settings.tls
    except (OSError, ssl.SSLError, ValueError) as error:  # a ValueError is about an empty file
        raise SettingsWrong(
            f"MOUSETRAP_TLS_CA, MOUSETRAP_TLS_CERTIFICATE or MOUSETRAP_TLS_KEY does not load: {error}"
        ) from error


def _texts(environ: Mapping[str, str], groups: Sequence[Group[Any]]) -> dict[str, str]:
    """The values that are given. The RABBITMQ_ variables replace a missing address of the broker."""
    values = collect(environ, entries((ENGINE, *groups)))
    if "broker_url" in values or "RABBITMQ_HOST" not in environ:
        return values
    return {**values, "broker_url": tutorial_url(environ)}


def amqp_url(environ: Mapping[str, str], groups: Sequence[Group[Any]] = ()) -> str:
    """The broker's address for a blocking channel: MOUSETRAP_BROKER_URL if that is RabbitMQ's, else the tutorial's.

    Raises SettingsWrong, also where the embedded queue is all that is named.
    """
    url = Settings.from_environ(environ, groups).broker_url
    if url.startswith("amqp"):
        return url
    if "RABBITMQ_HOST" not in environ and "broker_url" in Settings.given_in(environ, groups):
        raise SettingsWrong(
            f"MOUSETRAP_BROKER_URL is {masked(url)}, and a blocking channel needs RabbitMQ: "
            "amqp://user:password@host:port/vhost. On the embedded queue, runs are started with submit_run or the API"
        )
    return tutorial_url(environ)
