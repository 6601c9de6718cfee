"""Loads the schedules that a catalogue names."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mousetrap.catalogue_entries import load
from mousetrap.pipeline import ContractBroken, Pipeline, read
from mousetrap.schedules import Schedule, input_at
from mousetrap.settings import SettingsWrong


def declared_schedules(
    names: Sequence[str], pipelines: Mapping[str, Pipeline], defaults: Mapping[str, bytes]
) -> tuple[Schedule, ...]:
    """The schedules behind these names. Raises SettingsWrong for one that is wrong, and for two of one name.

    The input of one whose pipeline is a worker's is checked when it fires.
    """
    try:
        found = [schedule for name in names for schedule in _loaded(name)]
    except ValueError as error:
        raise SettingsWrong(f"SCHEDULES: {error}") from error
    for place, schedule in enumerate(found):
        if any(schedule.name == other.name for other in found[:place]):
            raise SettingsWrong(f"SCHEDULES: there are two schedules {schedule.name!r}: rename one of them")
        if (pipeline := pipelines.get(schedule.pipeline)) is not None:
            _check_input(schedule, pipeline, defaults.get(pipeline.name, b""))
    return tuple(found)


def _loaded(name: str) -> Iterator[Schedule]:
    found: Any = load(name)
    for each in (found,) if isinstance(found, Schedule) else found:
        if not isinstance(each, Schedule):
            raise SettingsWrong(
                f"SCHEDULES: {name!r} has {type(each).__name__}, and not only schedules: name a Schedule, or a tuple of them"
            )
        yield each


def _check_input(schedule: Schedule, pipeline: Pipeline, default: bytes) -> None:
    try:
        read(input_at(schedule, 0, default) or b"{}", pipeline.first.input)
    except ContractBroken as error:
        raise SettingsWrong(
            f"SCHEDULES: schedule {schedule.name!r}: input does not fit the contract of {pipeline.name!r}: {error}"
        ) from error
