"""Shows members of a schedule in a form, and reads them back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import msgspec

from mousetrap.dashboard.facts import Problem, Refused
from mousetrap.dashboard.words import typed_number
from mousetrap.shapes import Schedule


def moment_ms(text: str) -> int | str:
    """A moment in UTC as a browser's field has it; another text goes as it is, and the API answers what is wrong."""
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        return text


def _moment(ms: int | None) -> str:
    """To the millisecond, as far as there are any: a browser's field takes both."""
    if ms is None:
        return ""
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S") + (f".{ms % 1000:03}" if ms % 1000 else "")


def _shown_number(number: float | None) -> str:
    return "" if number is None else f"{number:.15g}"


def _json(text: str) -> msgspec.Raw | None:
    """As it was typed: read and written again, numbers could change. Raises Refused."""
    if not text.strip():
        return None
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(Problem(status=422, detail=f"it is no JSON: {error}", where="body.input")) from None
    return msgspec.Raw(text.encode())


def _shown_json(value: Any) -> str:
    return "" if value is None else msgspec.json.format(msgspec.json.encode(value)).decode()


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a schedule that a form changes."""

    name: str
    label: str
    show: Callable[[Any], str] = str
    read: Callable[[str], Any] = str
    #: How a browser asks for it: a line, a "textarea", a "select", or a line of this type.
    form: str = "text"
    help: str = ""

    @property
    def choices(self) -> tuple[str, ...]:
        """What a select has."""
        return get_args(get_type_hints(Schedule)[self.name])


MEMBERS = (
    Member("cron", "Cron: minute, hour, day, month, day of the week", lambda it: it or ""),
    Member("tz", "Zone", read=lambda text: text or "UTC"),
    Member("every", "Or every so many seconds", _shown_number, typed_number),
    Member("anchor_ms", "Counted from (UTC)", _moment, moment_ms, "datetime-local"),
    Member("input", "Input, as JSON", _shown_json, _json, "textarea", "Empty: the pipeline's defaults."),
    Member("tick_as", "Member of the input that gets the tick"),
    Member("missed", "Of missed ticks, fire", form="select", help="none, the newest, or the newest so many"),
    Member("most", "At most so many", read=typed_number),
    Member("catch_up", "None older than so many seconds", _shown_number, typed_number),
    Member("overlap", "While the last run goes on", form="select"),
    Member("jitter", "Later by up to so many seconds", _shown_number, typed_number),
    Member(
        "expires_after",
        "A run expires after so many seconds",
        _shown_number,
        lambda text: typed_number(text) if text else None,
        help="Empty: as the pipeline has it.",
    ),
    Member(
        "priority",
        "Priority of its runs, 0 to 9",
        read=typed_number,
        help="The highest goes first; 4 is the default.",
    ),
    Member(
        "tags",
        "Tags, one a line",
        "\n".join,
        lambda text: [line for line in text.split("\n") if line],
        "textarea",
    ),
)


def changed(schedule: Schedule, typed: Mapping[str, str]) -> dict[str, Any]:
    """The members whose text is another one than the form had. Raises Refused."""
    texts = {name: text.replace("\r\n", "\n") for name, text in typed.items()}
    return {
        it.name: it.read(texts[it.name])
        for it in MEMBERS
        if it.name in texts and texts[it.name] != it.show(getattr(schedule, it.name))
    }
