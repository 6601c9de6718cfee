"""Loads what targets name: an allow-list, for nothing else causes an import."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mousetrap.discovery.found import Found, found_in, schedules_in
from mousetrap.discovery.not_loaded import NotLoaded, not_imported
from mousetrap.discovery.schedules import Schedules
from mousetrap.discovery.targets import Target, TargetWrong, modules_in, read_target
from mousetrap.handlers import Binding
from mousetrap.pipeline import Pipeline
from mousetrap.schedules import Schedule


@dataclass(frozen=True, slots=True)
class Discovered:
    """What targets name, and what of it could not be loaded."""

    found: tuple[Found, ...]
    failures: tuple[NotLoaded, ...]
    #: Of pipelines that are found.
    schedules: tuple[Schedule, ...] = ()
    #: Of pipelines that are not: nothing here publishes them.
    other_schedules: tuple[Schedule, ...] = ()

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """One for each stage of each pipeline, with the pipeline's schedules."""
        each = {(it.pipeline.name, it.stage_name): it for found in self.found for it in found.bindings}
        return tuple(self._with_schedules(it) for it in each.values())

    def _with_schedules(self, binding: Binding) -> Binding:
        own = tuple(it for it in self.schedules if it.pipeline == binding.pipeline.name)
        return replace(binding, schedules=own) if own else binding

    @property
    def pipelines(self) -> Mapping[str, Pipeline]:
        """The pipelines of the bindings, by name."""
        return {binding.pipeline.name: binding.pipeline for binding in self.bindings}


def discover(targets: Iterable[str], folder: Path | None = None) -> Discovered:
    """What these targets name: files, folders, modules, packages and `module:object`, seen from `folder` (the current one).

    A module that cannot be imported is a failure, and the rest is loaded; two of one name are failures both. Changes the
    path of imports. Raises nothing that a module's code raises, but KeyboardInterrupt.
    """
    here = _Loading(folder or Path.cwd())
    for target in dict.fromkeys(targets):
        here.load(target)
    found = tuple(here.found.values())
    twice = tuple(_twice(found))
    wrong = {each.name for each in twice}
    kept = tuple(it for it in found if it.name not in wrong)
    schedules = Schedules.of(here.schedules.values(), kept)
    failures = (*here.failures, *twice, *schedules.failures)
    return Discovered(kept, failures, schedules.of_pipelines, schedules.of_others)


@dataclass(slots=True)
class _Loading:
    """Loads one target after another."""

    folder: Path
    #: By the identity of the value: a second name for the same task is no second task. And by the stages, for a chain.
    found: dict[tuple[int, tuple[str, ...]], Found] = field(default_factory=dict)
    #: By their identity, each with its place.
    schedules: dict[int, tuple[str, Schedule]] = field(default_factory=dict)
    failures: list[NotLoaded] = field(default_factory=list)

    def load(self, text: str) -> None:
        try:
            target = read_target(text, self.folder)
        except TargetWrong as wrong:
            self._fail(text, "it is no target", str(wrong))
            return
        if not target.module and target.attribute:
            self._fail(text, "a folder has no objects", "name the file in it, as folder/file.py:object")
            return
        if not target.module:
            self._load_all(text, modules_in("", [str(target.path)]))
            return
        module = self._import(text, target.module, explicit=True)
        if module is None or not self._is_the_file(text, target, module):
            return
        if target.attribute:
            self._load_one(text, module, target.attribute)
            return
        self._keep_all(module)
        if hasattr(module, "__path__"):
            self._load_all(text, modules_in(target.module, list(module.__path__)))

    def _load_all(self, text: str, names: Iterable[str]) -> None:
        for name in names:
            module = self._import(text, name, explicit=False)
            if module is not None:
                self._keep_all(module)

    def _load_one(self, text: str, module: ModuleType, name: str) -> None:
        found = tuple(found_in(module, name))
        self._keep(found)
        self._keep_schedules(module)
        if not found:
            known = [it.name.rpartition(".")[2] for it in found_in(module)]
            import difflib  # for the advice alone

            near = difflib.get_close_matches(name, known, n=1)
            advice = f"write {near[0]}" if near else f"it has: {', '.join(known) or 'none'}"
            self._fail(text, f"{module.__name__} has no task, chain or binding {name!r}", advice)

    def _import(self, text: str, name: str, *, explicit: bool) -> ModuleType | None:
        try:
            return import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  a module can raise anything, SystemExit too
            self.failures.append(not_imported(text, name, error, explicit=explicit))
            return None

    def _is_the_file(self, text: str, target: Target, module: ModuleType) -> bool:
        """Another module can have the name, as `json.py` of the standard library."""
        if target.path is None or module.__file__ is None:
            return True
        file = target.path / "__init__.py" if target.path.is_dir() else target.path
        if Path(module.__file__).resolve() == file:
            return True
        self._fail(text, f"the name {target.module!r} is taken by {module.__file__}", "rename the file")
        return False

    def _fail(self, text: str, error: str, advice: str) -> None:
        self.failures.append(
            NotLoaded(target=text, name=text, place="", error=error, advice=advice, explicit=True)
        )

    def _keep_all(self, module: ModuleType) -> None:
        self._keep(found_in(module))
        self._keep_schedules(module)

    def _keep_schedules(self, module: ModuleType) -> None:
        for place, schedule in schedules_in(module):
            self.schedules.setdefault(id(schedule), (place, schedule))

    def _keep(self, found: Iterable[Found]) -> None:
        for each in found:
            stages = tuple(binding.stage_name for binding in each.bindings)
            self.found.setdefault((id(each.value), stages), each)


def _twice(found: Iterable[Found]) -> Iterator[NotLoaded]:
    """A failure for both of two that have a stage of one name, or pipelines of one name that differ."""
    first: dict[str, tuple[Found, Binding]] = {}
    seen: set[tuple[str, str]] = set()
    for each in found:
        for binding in each.bindings:
            stage = f"{binding.pipeline.name}.{binding.stage_name}"
            earlier, known = first.setdefault(binding.pipeline.name, (each, binding))
            what = f"pipeline {binding.pipeline.name!r}" if known.pipeline != binding.pipeline else ""
            if not what:
                earlier, known = first.setdefault(stage, (each, binding))
                what = f"stage {stage}" if known.handler is not binding.handler else ""
            if what and (earlier.name, each.name) not in seen:
                seen.add((earlier.name, each.name))
                yield from _both(earlier, each, what)


def _both(one: Found, other: Found, what: str) -> Iterator[NotLoaded]:
    modules = {it.name.rpartition(".")[0] for it in (one, other)}
    files = {getattr(sys.modules.get(name), "__file__", name) for name in modules}
    advice = (
        "rename one" if len(modules) == len(files) else "the file is loaded under two names: name it once"
    )
    for each, its in ((one, other), (other, one)):
        yield NotLoaded(
            target=each.name,
            name=each.name,
            place=each.place,
            error=f"{what} is defined twice, here and as {its.name} at {its.place}",
            advice=advice,
            explicit=True,
        )
