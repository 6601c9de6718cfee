"""Writes tasks and schedules as declarations of ours."""

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from mousetrap.celery_source.read_app import UNKNOWN, App, FoundSchedule, FoundTask, literal

#: Celery's numbers where a task that retries itself gives none.
_MAX_RETRIES, _RETRY_DELAY_S, _BACKOFF_MAX_S = 3, 180.0, 600.0
#: Options that need no counterpart: a worker does so anyway, or there is nothing that they would change.
_SILENT = frozenset(
    {
        "name",
        "bind",
        "acks_late",
        "reject_on_worker_lost",
        "ignore_result",
        "track_started",
        "base",
        "pydantic",
    }
    | {
        "max_retries",
        "default_retry_delay",
        "autoretry_for",
        "retry_backoff",
        "retry_backoff_max",
        "retry_jitter",
    }
    | {"time_limit", "soft_time_limit", "expires", "store_errors_even_if_ignored", "serializer", "queue"}
    | {"rate_limit", "priority"}
)
_PLAIN = frozenset({"int", "str", "float", "bool", "bytes", "list", "dict", "tuple", "set", "None", "Any"})
#: `10/m`, or a number of a second.
_RATE = re.compile(r"([1-9]\d{0,4})(?:/([smh]))?")
_EVERY = {"s": "second", "m": "minute", "h": "hour"}
_DAYS = ("day_of_month", "day_of_week")
_CRON = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def write_moved(app: App) -> str:
    """A Python file with a task for each of Celery's, whose body is to be moved, and the schedules."""
    names = names_of(app)
    parts = [_task(each, names[each.name]) for each in app.tasks]
    parts += [_schedules(app, names)] if app.schedules else []
    body = "\n\n".join(["", *parts])
    heads = [
        *(["from datetime import timedelta"] if "timedelta(" in body else []),
        *(["from typing import Any"] if re.search(r"\bAny\b", body) else []),
        "",
        "from mousetrap.handlers import task",
        *(["from mousetrap.pipeline import Rate"] if "limit=Rate(" in body else []),
        *(["from mousetrap.retry import RetryPolicy"] if app.tasks else []),
        *(["from mousetrap.schedules import Schedule"] if app.schedules else []),
    ]
    unread = [_comment(f"not read: {each}") for each in app.unread]
    return "\n".join(
        ['"""Tasks that move from Celery: each body is still to be moved."""', "", *heads, *unread, body]
    ).replace("\n\n\n\n", "\n\n\n")


def write_declared(app: App, queue: str = "mousetrap") -> str:
    """The file of `mousetrap celery take`."""
    names = names_of(app)
    tasks = [f"{_toml(each.name)} = {_toml(names[each.name])}" for each in app.tasks]
    routes = [_route(task, to) for task, to in app.routes.items() if task not in names]
    lines = [f"queues = [{_toml(queue)}]", "", "[tasks]", *tasks]
    return "\n".join([*lines, *(["", "[routes]", *routes] if routes else [])]) + "\n"


def _route(task: str, queue: str) -> str:
    line = f"{_toml(task)} = {_toml(queue)}"
    return _comment(f"{line} is a pattern: name each task") if set("*?[") & set(task) else line


def names_of(app: App) -> Mapping[str, str]:
    """By Celery's name of a task, ours: the function's, with its module's before it where two have the same."""
    own = {each.name: _plain(each.function) for each in app.tasks}
    counted = Counter(own.values())
    names: dict[str, str] = {}
    for each in app.tasks:
        is_alone = counted[own[each.name]] == 1
        name = own[each.name] if is_alone else _plain(each.name)
        taken = {*names.values(), *(() if is_alone else counted)}
        names[each.name] = next(it for it in _numbered(name) if it not in taken)
    return names


def _plain(name: str) -> str:
    """As a task's name here may be: lower case, a letter first."""
    plain = re.sub(r"[^a-z0-9_]", "_", name.lower())[:55]
    return plain if plain[:1].isalpha() else f"task_{plain.lstrip('_')}"


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in count(2))


def _task(found: FoundTask, name: str) -> str:
    notes: list[str] = []
    options = [f'queue="{name}"', f"retry={_retry(found, notes)}", *_limits(found, notes)]
    parameters = ", ".join(_parameters(found, notes))
    returns = _annotation(found.returns, "what it returns", notes)
    for option, text in found.texts.items():
        if option not in _SILENT:
            notes.append(f"{option}={text} has no counterpart here")
    head = [_comment(each) for each in (f"{found.place}, {found.name}", *notes)]
    return "\n".join(
        [
            *head,
            f"@task({', '.join(options)})",
            f"def {name}({parameters}) -> {returns}:",
            f"    raise NotImplementedError({f'move the body of {found.place} here'!r})",
            "",
        ]
    )


def _retry(found: FoundTask, notes: list[str]) -> str:
    """The policy: Celery repeats a task only if it is listed to be, or calls `self.retry`."""
    listed = "autoretry_for" in found.options
    if not listed and not found.retries_itself:
        return "RetryPolicy(attempts=1)"
    retries = _number(found, "max_retries", _MAX_RETRIES, notes)
    base = _base(found, notes)
    cap = _number(found, "retry_backoff_max", _BACKOFF_MAX_S, notes)
    parts = [
        f"attempts={None if retries is None else max(0, int(retries)) + 1}",
        f"base={base}",
        f"cap={max(cap or 0, base)}",
    ]
    if listed:
        parts += _errors(found.texts["autoretry_for"], notes)
    if found.retries_itself:
        notes.append("self.retry(…) is `raise TryAgain(after=…)`, or any error")
    return f"RetryPolicy({', '.join(parts)})"


def _base(found: FoundTask, notes: list[str]) -> float:
    """Seconds of the first pause."""
    if found.options.get("retry_backoff") is True:
        return 1.0
    backoff = found.options.get("retry_backoff") and _number(found, "retry_backoff", None, notes)
    base: float | None = backoff or _number(found, "default_retry_delay", _RETRY_DELAY_S, notes)
    return base if base and base > 0 else 1.0


def _errors(text: str, notes: list[str]) -> Sequence[str]:
    names = re.findall(r"[\w.]+", text)
    if names and all(_is_error(each) for each in names):
        return [f"retry_on=({', '.join(names)},)"]
    notes.append(f"retried for {text}: import these, and add retry_on={text}")
    return []


def _is_error(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, Exception)


def _limits(found: FoundTask, notes: list[str]) -> Iterator[str]:
    for theirs, ours in (
        ("time_limit", "timeout"),
        ("soft_time_limit", "soft_timeout"),
        ("expires", "expires_after"),
    ):
        number = _number(found, theirs, None, notes) if theirs in found.options else None
        if number and number > 0:
            yield f"{ours}={number}"
    if found.options.get("priority") is not None:
        text = found.texts["priority"]
        notes.append(
            f"priority={text} is an option of each submission here, as client.submit(…, priority={text})"
        )
    if found.options.get("rate_limit"):
        yield from _rate(found, notes)


def _rate(found: FoundTask, notes: list[str]) -> Iterator[str]:
    text = found.texts["rate_limit"]
    given = _RATE.fullmatch(str(found.options["rate_limit"]))
    if given is None:
        notes.append(
            f"rate_limit={text} is no whole number of a second, a minute or an hour: write limit=Rate(…)"
        )
        return
    notes.append(f"rate_limit={text} is of each worker there, and of all workers together here")
    yield f"limit=Rate({given[1]}, every={_EVERY[given[2] or 's']!r})"


def _number(found: FoundTask, option: str, default: float | None, notes: list[str]) -> float | None:
    value = found.options.get(option, default)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    notes.append(f"{option}={found.texts[option]} is no plain number: write it by hand")
    return default


def _parameters(found: FoundTask, notes: list[str]) -> Iterator[str]:
    arguments = found.arguments
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(
        arguments.defaults
    )
    pairs = list(zip(positional, defaults, strict=True))
    if found.options.get("bind") is True:
        pairs = pairs[1:]
    if arguments.vararg or arguments.kwarg:
        notes.append("*args and **kwargs have no contract: name what is given")
    yield from (_parameter(*each, notes) for each in pairs)
    if arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default, notes)


def _parameter(argument: ast.arg, default: ast.expr | None, notes: list[str]) -> str:
    annotation = _annotation(argument.annotation, argument.arg, notes)
    return f"{argument.arg}: {annotation}{_default(argument.arg, default, notes)}"


def _default(name: str, given: ast.expr | None, notes: list[str]) -> str:
    if given is None:
        return ""
    if literal(given) is not UNKNOWN:
        return f" = {ast.unparse(given)}"
    notes.append(f"{name} defaults to {ast.unparse(given)}: let the body find it where it is None")
    return " = None"


def _annotation(given: ast.expr | None, what: str, notes: list[str]) -> str:
    if given is None:
        return "Any"
    if all(map(_is_plain, ast.walk(given))):
        return ast.unparse(given)
    notes.append(f"{what} is {ast.unparse(given)}: import it, or write a type with a JSON form")
    return "Any"


def _is_plain(node: ast.AST) -> bool:
    """Whether it may be in an annotation that needs no import."""
    if isinstance(node, ast.Constant):
        return node.value in (None, ...)
    if isinstance(node, ast.Name):
        return node.id in _PLAIN
    return isinstance(node, ast.Subscript | ast.Tuple | ast.BinOp | ast.BitOr | ast.expr_context)


def _schedules(app: App, names: Mapping[str, str]) -> str:
    by_name = {each.name: each for each in app.tasks}
    lines = [line for each in app.schedules for line in _schedule(each, app, names, by_name.get(each.task))]
    return "\n".join(
        ['#: In the catalogue: SCHEDULES = ("MODULE:SCHEDULES",)', "SCHEDULES = (", *lines, ")", ""]
    )


def _schedule(
    found: FoundSchedule, app: App, names: Mapping[str, str], task: FoundTask | None
) -> Iterator[str]:
    when = _when(found, app.timezone)
    fault = _fault(found, task, when)
    if fault or task is None:
        yield f"    {_comment(f'{found.name}: {fault}')}"
        return
    given = _input(found, task)
    if given is UNKNOWN:
        yield f"    {_comment(f'{found.name}: its arguments are no literals; give them as input=')}"
    more = f", input={given!r}" if given is not UNKNOWN and given is not None else ""
    yield f"    Schedule({_slug(found.name)!r}, pipeline={names[task.name]!r}, {when}, missed='skip'{more}),"


def _fault(found: FoundSchedule, task: FoundTask | None, when: str) -> str:
    """Why it is left out."""
    if task is None:
        return f"the task {found.task} is not in these files"
    if not when:
        return "when it is due is no literal"
    days = [found.schedule.get(name, "*") for name in _DAYS] if isinstance(found.schedule, dict) else []
    if days and not any(str(day).startswith("*") for day in days):
        return "it is due on days of the month that are also such days of the week, and a cron here on either: write it by hand"
    return ""


def _when(found: FoundSchedule, zone: str) -> str:
    if isinstance(found.schedule, float):
        return f"every=timedelta(seconds={found.schedule})"
    if (
        isinstance(found.schedule, dict)
        and not set(found.schedule) - set(_CRON)
        and all(isinstance(it, int | str) for it in found.schedule.values())
    ):
        fields = [str(found.schedule.get(each, "*")).replace(" ", "") for each in _CRON]
        return f"cron={' '.join(fields)!r}, tz={zone!r}"
    return ""


def _input(found: FoundSchedule, task: FoundTask) -> Any:
    """The input that its arguments are; None for none, UNKNOWN for what is no literal."""
    args, kwargs = found.args, found.kwargs
    if not isinstance(args, tuple | list) or not isinstance(kwargs, dict):
        return UNKNOWN
    names = [
        each.arg for each in (*task.arguments.posonlyargs, *task.arguments.args, *task.arguments.kwonlyargs)
    ]
    names = names[1:] if task.options.get("bind") is True else names
    values = {**dict(zip(names, args, strict=False)), **kwargs}
    if not values:
        return None
    return next(iter(values.values())) if len(names) == 1 else values


def _comment(text: str) -> str:
    """On one line, whatever the source has."""
    return f"# {' '.join(text.split())}"


def _slug(name: str) -> str:
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:55]
    return slug if slug[:1].isalpha() else f"s-{slug}"[:55]


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
