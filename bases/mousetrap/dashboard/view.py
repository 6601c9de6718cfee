"""Holds what a visitor asks for, and what a page shows."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from mousetrap.api_keys import Caller
from mousetrap.dashboard.facts import Facts

#: Pairs of a query or a form that are read; a page has far fewer.
_MOST_PAIRS = 2_000


class Query:
    """The pairs of a query or of a form, in their order; a name can come more than once."""

    def __init__(self, pairs: tuple[tuple[str, str], ...] = ()) -> None:
        self.pairs = pairs

    @classmethod
    def parse(cls, text: str) -> "Query":
        """The pairs of a query string or of a form's body. Raises ValueError for more than 2,000."""
        return cls(tuple(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PAIRS)))

    def one(self, name: str, otherwise: str = "") -> str:
        """The first value of `name`, without the space around it."""
        return next((value.strip() for key, value in self.pairs if key == name), otherwise)

    def all(self, name: str) -> tuple[str, ...]:
        """All values of `name` that are not empty."""
        return tuple(value.strip() for key, value in self.pairs if key == name and value.strip())

    def place(self, name: str) -> int:
        """The first value of `name` as a place in a list: 0 for anything else."""
        text = self.one(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0

    def given(self, *names: str) -> dict[str, str]:
        """The values of those of `names` that are there and not empty."""
        return {name: value for name in names if (value := self.one(name))}

    def but(self, *names: str, **more: object) -> "Query":
        """These pairs without those of `names`, and with `more`."""
        kept = tuple(pair for pair in self.pairs if pair[0] not in names and pair[0] not in more)
        return Query((*kept, *((name, str(value)) for name, value in more.items())))

    def __str__(self) -> str:
        return urlencode(self.pairs)


@dataclass(frozen=True, slots=True)
class View:
    """What a visitor asks to see."""

    #: The address of its page, as `/runs/{run}`.
    path: str
    #: The variable parts of the address, as {"run": "019b…"}.
    names: Mapping[str, str]
    query: Query
    #: Who looks; its scopes decide which buttons there are.
    visitor: Caller
    #: The browser's address, for the audit trail.
    address: str
    #: light, dark, or empty for what the system prefers.
    theme: str
    #: When it is looked at.
    now_ms: int
    #: Where the browser found the API, as http://127.0.0.1:8000.
    origin: str = ""

    def may(self, scope: str) -> bool:
        """Whether the visitor has this scope; the API checks each act all the same."""
        return scope in self.visitor.scopes


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown."""

    title: str
    #: The name of its template, which has `it` (the data), `view` and `page`.
    template: str
    #: A frozen dataclass.
    data: Any = None
    #: Blocks of the template that change while it is open. Each is one element, whose id is the block's name.
    regions: tuple[str, ...] = ()
    #: Nothing changes any more: the stream ends.
    is_over: bool = False
    status: int = 200
    #: The part of the navigation that it belongs to, as `runs`.
    part: str = ""
    #: The query of its stream; None for that of the page.
    live: Query | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """An act that was carried out: the browser goes on to another page."""

    #: Within the dashboard, as `/runs/019b…`.
    to: str
    #: A sentence that the next page shows once.
    notice: str = ""


class Elsewhere(Exception):
    """What is asked for has a page of its own, at this address."""

    def __init__(self, to: str) -> None:
        super().__init__(to)
        self.to = to


@dataclass(frozen=True, slots=True)
class File:
    """An answer of the API that the browser keeps as a file."""

    name: str
    #: What the API is asked for, as `/dead/export`.
    path: str
    query: Mapping[str, Any]


#: Reads facts and answers with a page, or raises Elsewhere. It changes nothing.
Show = Callable[[View, Facts], Awaitable[Page]]
#: Carries out what a form asks for; a page with errors at their fields where that was not possible.
Act = Callable[[View, Query, Facts], Awaitable[Done | Page]]


@dataclass(frozen=True, slots=True)
class PageRoute:
    """One address of the dashboard: its page, and what its form does."""

    path: str
    show: Show | None = None
    act: Act | None = None
    #: The scope that its form needs; without it the page of a form is none for this visitor.
    needs: str = "operate"
    #: In place of a page.
    file: Callable[[View], File] | None = None
