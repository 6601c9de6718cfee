"""Finds tasks, schedules and routes in the source of a Celery app."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: What stands for a value that is no literal.
UNKNOWN: Any = object()
#: The settings that are read, by their present names, those with Django's usual prefix, and their former ones.
_SETTINGS = {
    **{name: name for name in ("beat_schedule", "task_routes", "timezone")},
    **{f"CELERY_{name.upper()}": name for name in ("beat_schedule", "task_routes", "timezone")},
    "CELERYBEAT_SCHEDULE": "beat_schedule",
    "CELERY_ROUTES": "task_routes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTask:
    """A function that Celery's decorator makes a task of."""

    #: Celery's name of it.
    name: str
    function: str
    #: The file and the line.
    place: str
    arguments: ast.arguments
    returns: ast.expr | None
    #: The decorator's options; UNKNOWN for what is no literal, whose text `texts` has.
    options: Mapping[str, Any]
    texts: Mapping[str, str]
    #: Whether its body calls `self.retry`.
    retries_itself: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSchedule:
    """An entry of `beat_schedule`."""

    name: str
    task: str
    #: `crontab(…)`'s fields, or seconds, or UNKNOWN.
    schedule: Any
    args: Any
    kwargs: Any


@dataclass(slots=True)
class App:
    """What was found."""

    tasks: list[FoundTask] = field(default_factory=list)
    schedules: list[FoundSchedule] = field(default_factory=list)
    #: By Celery's name of a task, its queue.
    routes: dict[str, str] = field(default_factory=dict)
    timezone: str = "UTC"
    #: What could not be read, each with its place.
    unread: list[str] = field(default_factory=list)


def read_app(sources: Mapping[str, str]) -> App:
    """What the files, by their paths, declare. Raises SyntaxError for one that is no Python."""
    app = App()
    for path, text in sources.items():
        tree = ast.parse(text, path)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                _add_tasks(app, _task_of(node, path))
            app.unread.extend(f"{path}:{getattr(node, 'lineno', 0)}: {what}" for what in _unread(node))
        for name, value in _settings(tree):
            _read_setting(app, path, name, value)
    return app


def _add_tasks(app: App, found: Iterable[FoundTask]) -> None:
    for each in found:
        if each.name in {one.name for one in app.tasks}:
            app.unread.append(f"{each.place}: a second task of the name {each.name}")
        else:
            app.tasks.append(each)


def _unread(node: ast.AST) -> Iterator[str]:
    """What declares something in a form that is not read."""
    match node:
        case ast.Assign([ast.Subscript(ast.Attribute(ast.Attribute(attr="conf"), name))]) if (
            name in _SETTINGS
        ):
            yield f"an entry that is added to {name}"
        case ast.Assign([ast.Subscript(ast.Attribute(attr="conf"))]):
            yield "a setting that is set by its name in brackets"
        case ast.Call(
            ast.Attribute(ast.Attribute(ast.Attribute(attr="conf"), name), "update" | "setdefault")
        ) if name in _SETTINGS:
            yield f"entries that are added to {name}"
        case ast.Call(ast.Attribute(ast.Attribute(attr="conf"), "update"), [_, *_]):
            yield "the dictionary that is given to conf.update"
        case ast.Call(ast.Attribute(_, "add_periodic_task")):
            yield "a schedule of add_periodic_task"
        case ast.ClassDef() if any(ast.unparse(each).rpartition(".")[2] == "Task" for each in node.bases):
            yield f"the class {node.name}, of a task"


def _task_of(node: ast.FunctionDef | ast.AsyncFunctionDef, path: str) -> Iterator[FoundTask]:
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name not in ("task", "shared_task"):
            continue
        keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
        options = {each.arg: literal(each.value) for each in keywords if each.arg}
        given = options.get("name")
        yield FoundTask(
            name=given if isinstance(given, str) else f"{_module(path)}.{node.name}",
            function=node.name,
            place=f"{path}:{node.lineno}",
            arguments=node.args,
            returns=node.returns,
            options=options,
            texts={each.arg: ast.unparse(each.value) for each in keywords if each.arg},
            retries_itself=any(map(_is_retry, ast.walk(node))),
        )


def _is_retry(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute) and node.attr == "retry" and getattr(node.value, "id", "") == "self"
    )


def _module(path: str) -> str:
    """As Celery names it where the app is started from the folder of `path`."""
    return path.removesuffix(".py").removesuffix("/__init__").strip("./").replace("/", ".")


def _settings(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """`app.conf.NAME = …`, `app.conf.update(NAME=…)` and, as in a module of settings, `NAME = …`."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign([ast.Attribute(ast.Attribute(attr="conf"), name) | ast.Name(name)], value):
                yield name, value
            case ast.Call(ast.Attribute(ast.Attribute(attr="conf"), "update"), _, keywords):
                yield from ((each.arg, each.value) for each in keywords if each.arg)


def _read_setting(app: App, path: str, name: str, value: ast.expr) -> None:
    match _SETTINGS.get(name), value:
        case "timezone", ast.Constant(str(zone)):
            app.timezone = zone
        case "task_routes", ast.Dict():
            for task, route in _entries(value):
                queue = route if isinstance(route, str) else literal_member(route, "queue")
                if isinstance(queue, str):
                    app.routes[task] = queue
                else:
                    app.unread.append(f"{path}:{value.lineno}: the route of {task}")
        case "beat_schedule", ast.Dict():
            app.schedules.extend(_schedules(value))
        case (("task_routes" | "beat_schedule"), _):
            app.unread.append(f"{path}:{value.lineno}: {name}, which is no plain dictionary")


def _entries(given: ast.Dict) -> Iterator[tuple[str, Any]]:
    for key, value in zip(given.keys, given.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value, literal(value)


def literal_member(value: Any, name: str) -> Any:
    """A member of a literal dictionary, else UNKNOWN."""
    return value.get(name, UNKNOWN) if isinstance(value, dict) else UNKNOWN


def _schedules(given: ast.Dict) -> Iterator[FoundSchedule]:
    for key, value in zip(given.keys, given.values, strict=True):
        if not (isinstance(key, ast.Constant) and isinstance(value, ast.Dict)):
            continue
        members = {
            each.value: inner
            for each, inner in zip(value.keys, value.values, strict=True)
            if isinstance(each, ast.Constant)
        }
        task = members.get("task")
        yield FoundSchedule(
            name=str(key.value),
            task=str(literal(task)) if task else "",
            schedule=_when(members.get("schedule")),
            args=literal(members["args"]) if "args" in members else (),
            kwargs=literal(members["kwargs"]) if "kwargs" in members else {},
        )


def _when(given: ast.expr | None) -> Any:
    """Seconds, or the fields of a crontab by name, or UNKNOWN."""
    match given:
        case ast.Call(ast.Name("crontab") | ast.Attribute(attr="crontab"), args, keywords):
            names = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
            found = dict(zip(names, map(literal, args), strict=False))
            return found | {each.arg: literal(each.value) for each in keywords if each.arg}
        case ast.Call(ast.Name("timedelta") | ast.Attribute(attr="timedelta"), [], keywords):
            units = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400, "weeks": 604_800}
            parts = [(units.get(each.arg or "", 0), literal(each.value)) for each in keywords]
            known = all(unit and isinstance(number, int | float) for unit, number in parts)
            return float(sum(unit * number for unit, number in parts)) if known and parts else UNKNOWN
        case None:
            return UNKNOWN
    seconds = literal(given)
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return float(seconds) if is_number else UNKNOWN


def literal(node: ast.expr) -> Any:
    """The value of a literal, else UNKNOWN."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN
