"""Runs Lua functions on the store's server."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pkgutil import get_data
from typing import Any

from mousetrap.store_client.errors import ReplyError

#: Sends one command to the server, as the client's `call` does.
Execute = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Library:
    """A function library. Its name contains a digest of its source, so that two versions of a program can share a server.

    The source registers functions under names that begin with `NAME`; the library's name replaces it.
    """

    name: str
    source: str

    @classmethod
    def of(cls, title: str, source: str) -> "Library":
        """The library `title` with this Lua source."""
        name = f"{title}_{hashlib.sha256(source.encode()).hexdigest()[:12]}"
        return cls(name, f"#!lua name={name}\n{source}".replace("'NAME", f"'{name}"))

    @classmethod
    def read(cls, title: str, package: str, files: Sequence[str]) -> "Library":
        """The library `title`, made of these files of a package, in this order."""
        return cls.of(title, "\n".join(_text(package, file) for file in files))

    async def call(
        self, execute: Execute, *args: Any, function: str = "", keys: Sequence[str | bytes] = ()
    ) -> Any:
        """The reply of the function registered as `NAME` + `function`. A new or emptied server gets the library first."""
        command = ("FCALL", self.name + function, len(keys), *keys, *args)
        try:
            return await execute(*command)
        except ReplyError as error:
            if "Function not found" not in str(error):
                raise
        await execute("FUNCTION", "LOAD", "REPLACE", self.source)
        return await execute(*command)

    async def call_each(
        self,
        pipeline: Callable[[Sequence[Any]], Awaitable[list[Any]]],
        calls: Sequence[tuple[Any, ...]],
        *,
        function: str,
    ) -> list[Any]:
        """The replies of one function for each key and its arguments, sent together. Raises the first error."""
        commands = [("FCALL", self.name + function, 1, *call) for call in calls]
        replies = await pipeline(commands)
        if any(isinstance(reply, ReplyError) and "Function not found" in str(reply) for reply in replies):
            _, *replies = await pipeline([("FUNCTION", "LOAD", "REPLACE", self.source), *commands])
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
        return replies


def _text(package: str, file: str) -> str:
    """The text of a package's file; `importlib.resources` would load the libraries of archives and of temporary files."""
    data = get_data(package, file)
    if data is None:
        raise FileNotFoundError(f"{package} cannot give its {file}")
    return data.decode()
