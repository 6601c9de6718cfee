"""Reads the address of a store's server."""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

#: Redis has the same protocol and commands.
_PLAIN, _ENCRYPTED = ("valkey", "redis"), ("valkeys", "rediss")
_PORT = 6379
_UNREADABLE = "the store's address cannot be read: write valkey://user:password@host:port/database"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and who logs in; as text it has no password."""

    host: str = "localhost"
    port: int = _PORT
    #: A Unix socket in place of host and port.
    path: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    encrypted: bool = False

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Raises ValueError, which never holds the address: a password may be in it."""
        try:
            parts = urlsplit(url)
            user, password = unquote(parts.username or ""), unquote(parts.password or "")
            if parts.scheme == "unix":
                database = int(parse_qs(parts.query).get("db", ["0"])[0])
                return cls(path=unquote(parts.path), user=user, password=password, database=database)
            return cls._of_host(parts, user, password)
        except ValueError:
            raise ValueError(_UNREADABLE) from None

    @classmethod
    def parse_all(cls, url: str) -> "tuple[Address, ...]":
        """The servers that an address names, a cluster's with commas between their hosts; as `parse`."""
        if url.startswith("unix:"):
            return (cls.parse(url),)
        scheme, _, rest = url.partition("://")
        place, slash, path = rest.partition("/")
        login, at, hosts = place.rpartition("@")
        found = tuple(cls.parse(f"{scheme}://{login}{at}{host}{slash}{path}") for host in hosts.split(","))
        if len(found) > 1 and found[0].database:
            raise ValueError(
                "a cluster has no numbered databases: leave the number out of the store's address"
            )
        return found

    @classmethod
    def _of_host(cls, parts: SplitResult, user: str, password: str) -> "Address":
        if parts.scheme not in (*_PLAIN, *_ENCRYPTED):
            raise ValueError
        return cls(
            host=unquote(parts.hostname or "localhost"),
            port=parts.port or _PORT,
            user=user,
            password=password,
            database=int(parts.path.strip("/") or 0),
            encrypted=parts.scheme in _ENCRYPTED,
        )

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"

    def login(self, name: str) -> list[tuple[str | int, ...]]:
        """The commands that begin a connection; `name` is what the server lists it as, empty for none."""
        commands: list[tuple[str | int, ...]] = []
        if self.user:
            commands.append(("AUTH", self.user, self.password))
        elif self.password:
            commands.append(("AUTH", self.password))
        if self.database:
            commands.append(("SELECT", self.database))
        if name:
            commands.append(("CLIENT", "SETNAME", name))
        return commands
