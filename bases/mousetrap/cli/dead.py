"""Shows dead letters, and has them sent round again, discarded or exported, over the API."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol

import msgspec
from rich.syntax import Syntax
from rich.text import Text

from mousetrap.api_client import (
    Api,
    CommandFailed,
    Letter,
    Misused,
    Repaired,
    UnknownRun,
    read_letter,
    read_letter_groups,
    read_letters,
)
from mousetrap.cli.dead_tables import groups_table, letter_facts, letters_table, traceback_of
from mousetrap.cli.output import print_json, print_json_line, say, terminal
from mousetrap.cli.run import read_input
from mousetrap.cli.short_ids import letter_place, whole_letter_ids, with_run
from mousetrap.cli.tables import timeline_table
from mousetrap.settings import Settings

#: Letters that one request deals with, so that there is something to see meanwhile.
_AT_ONCE = 500

#: What the API is told of the letters that are meant.
Wish = Mapping[str, Any]


def list_letters(environ: Mapping[str, str], wish: Wish, *, limit: int, as_json: bool) -> int:
    """The command `dead list`."""
    with _api(environ) as api:
        answer = api.dead_as_json("", {**_whole(api, wish), "limit": limit})
    if as_json:
        print_json(answer)
    else:
        terminal().print(letters_table(read_letters(answer), _now()))
    return 0


def list_groups(environ: Mapping[str, str], wish: Wish, *, as_json: bool) -> int:
    """The command `dead groups`."""
    with _api(environ) as api:
        answer = api.dead_as_json("/groups", _whole(api, wish))
    if as_json:
        print_json(answer)
    else:
        terminal().print(groups_table(read_letter_groups(answer), _now()))
    return 0


def show(environ: Mapping[str, str], letter_id: str, *, as_json: bool) -> int:
    """The command `dead show`."""
    with _api(environ) as api:
        answer = api.letter_as_json(*letter_place(api, letter_id))
    if as_json:
        print_json(answer)
        return 0
    letter, console = read_letter(answer), terminal()
    console.print(letter_facts(letter, _now()))
    console.print()
    console.print(_carried(letter))
    if letter.traceback:
        console.print()
        console.print(traceback_of(letter), soft_wrap=True)
    if letter.run:
        console.print()
        console.print(timeline_table(letter.run.timeline, letter.run.accepted_ms))
    return 0


def export(environ: Mapping[str, str], wish: Wish) -> int:
    """The command `dead export`."""
    with _api(environ) as api:
        for line in api.export(_whole(api, wish)):
            print_json_line(line)
    return 0


def redrive(environ: Mapping[str, str], wish: Wish, *, rate: float) -> int:
    """The command `dead redrive`."""
    with _api(environ) as api:
        return _told(repair_all(api, "redrive", {**_whole(api, wish), "rate": rate}))


def redrive_edited(environ: Mapping[str, str], letter_id: str, given: str) -> int:
    """The command `dead redrive` of one letter with another input."""
    body = read_input(given)
    with _api(environ) as api:
        return _told(api.redrive_edited(*letter_place(api, letter_id), body))


def discard(environ: Mapping[str, str], wish: Wish, *, sure: bool) -> int:
    """The command `dead discard`."""
    with _api(environ) as api:
        wish = _whole(api, wish)
        if not sure:
            shown = {name: value for name, value in wish.items() if name != "all"}
            _ask(read_letters(api.dead_as_json("", {**shown, "limit": 1})).matched)
        return _told(repair_all(api, "discard", wish))


class Repairs(Protocol):
    """What is asked of the API."""

    def repair(self, what: str, wish: Wish) -> Repaired:
        """Has some of the dead letters that are meant redriven or discarded."""
        ...


def repair_all(api: Repairs, what: str, wish: Wish) -> Repaired:
    """Repeats the request for as many letters as were meant at first: what dies meanwhile is not sent round and round."""
    with terminal(stderr=True).status(f"{what}: looking") as status:
        total = more = api.repair(what, {**wish, "limit": _AT_ONCE})
        while total.left and more.dealt_with:
            status.update(f"{what}: {total.dealt_with} of {total.matched}")
            more = api.repair(what, {**wish, "limit": min(_AT_ONCE, total.left)})
            total = total.and_then(more)
    return total


def _told(done: Repaired) -> int:
    if not done.matched:
        raise CommandFailed("no dead letter matches: `mousetrap dead list` shows what lies there")
    say(f"{done.redriven} redriven" if done.redriven or not done.discarded else f"{done.discarded} discarded")
    if done.stale:
        say(f"{done.stale} dropped: their jobs have gone on without them")
    if done.left or done.unseen:
        say(f"{done.left + done.unseen} left: repeat the command for them")
    return 0


def _whole(api: Api, wish: Wish) -> Wish:
    """The same letters, by their whole ids, and the whole id of the run, where some were given by their beginnings."""
    whole = dict(wish)
    if ids := wish.get("ids"):
        whole["ids"] = whole_letter_ids(api, ids)
    if run := wish.get("run"):
        with suppress(UnknownRun):  # a letter may be remembered for longer than its run
            whole["run"] = with_run(api, run, api.run).id
    return whole


def _ask(count: int) -> None:
    if not sys.stdin.isatty():
        raise Misused("discarding cannot be undone: say --yes when nobody can be asked")
    if input(f"Discard {count} dead letters for good? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandFailed("nothing was discarded")


def _carried(letter: Letter) -> Syntax | Text:
    """What the letter carries: JSON where it is a job, else whatever it is."""
    if letter.body is not None:
        return Text(letter.body)
    raw = msgspec.json.format(msgspec.json.encode(letter.payload), indent=2).decode()
    return Syntax(raw, "json", background_color="default")


def _api(environ: Mapping[str, str]) -> Api:
    settings = Settings.from_environ(environ)
    return Api(settings.api_url, settings.api_key)


def _now() -> datetime:
    return datetime.now().astimezone()
