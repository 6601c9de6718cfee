"""Users of a broker with the rights that the deployment gives them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from support.rabbitmq_api import Broker, ask

PERMISSIONS = Path(__file__).parents[2] / "deploy/rabbitmq/permissions.json"

Role = Literal["migrate", "api", "worker"]
ROLES: tuple[Role, ...] = get_args(Role)
#: configure, write and read: the names on which each is allowed, as regular expressions.
Rights = Mapping[str, str]
FULL: Rights = {"configure": ".*", "write": ".*", "read": ".*"}


def rights() -> dict[Role, Rights]:
    """What each user of the deployment may do."""
    entries = {entry["user"]: entry for entry in json.loads(PERMISSIONS.read_text())}
    return {role: {kind: entries[f"mousetrap-{role}"][kind] for kind in FULL} for role in ROLES}


@contextmanager
def user(broker: Broker, url: str, rights: Rights) -> Iterator[str]:
    """The virtual host's address for a new user, who is gone afterwards."""
    name, password = f"test-{uuid4().hex[:12]}", uuid4().hex
    parts = urlsplit(url)
    ask(broker, "PUT", f"/api/users/{name}", password=password, tags="")
    try:
        virtual_host = parts.path.removeprefix("/") or "%2F"
        ask(broker, "PUT", f"/api/permissions/{virtual_host}/{name}", **rights)
        host = parts.netloc.rpartition("@")[2]
        yield urlunsplit(parts._replace(netloc=f"{name}:{password}@{host}"))
    finally:
        ask(broker, "DELETE", f"/api/users/{name}")
