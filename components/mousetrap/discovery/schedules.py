"""Sorts schedules that modules have by whether they can be published."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from mousetrap.discovery.found import Found
from mousetrap.discovery.not_loaded import NotLoaded
from mousetrap.pipeline import ContractBroken, Pipeline, read
from mousetrap.schedules import Schedule, input_at


class Schedules(NamedTuple):
    """Those of pipelines that were found, and what is wrong with some."""

    of_pipelines: tuple[Schedule, ...]
    #: Of pipelines that are not found.
    of_others: tuple[Schedule, ...]
    failures: tuple[NotLoaded, ...]

    @classmethod
    def of(cls, placed: Iterable[tuple[str, Schedule]], found: Iterable[Found]) -> "Schedules":
        """A schedule of a pipeline that is not found here is another worker's."""
        placed = tuple(placed)
        pipelines = {it.pipeline.name: it.pipeline for each in found for it in each.bindings}
        ours = [(place, it) for place, it in placed if it.pipeline in pipelines]
        failures = tuple(_failures(ours, pipelines))
        wrong = {each.name for each in failures}
        others = tuple(it for _, it in placed if it.pipeline not in pipelines)
        return cls(tuple(it for _, it in ours if it.name not in wrong), others, failures)


def _failures(ours: Iterable[tuple[str, Schedule]], pipelines: Mapping[str, Pipeline]) -> Iterator[NotLoaded]:
    seen: dict[str, Schedule] = {}
    for place, schedule in ours:
        if seen.setdefault(schedule.name, schedule) != schedule:
            yield _failure(place, schedule, "there are two schedules of this name", "rename one of them")
        elif error := _input_fault(schedule, pipelines[schedule.pipeline]):
            yield _failure(place, schedule, error, f"see the first stage of {schedule.pipeline}")


def _input_fault(schedule: Schedule, pipeline: Pipeline) -> str:
    """Why the pipeline would not take its input. One without an input is judged when it fires: the API may have defaults."""
    if schedule.input is None:
        return ""
    try:
        read(input_at(schedule, 0, b""), pipeline.first.input)
    except ContractBroken as error:
        return f"its input does not fit the contract: {error}"
    return ""


def _failure(place: str, schedule: Schedule, error: str, advice: str) -> NotLoaded:
    name = schedule.name
    return NotLoaded(target=name, name=name, place=place, error=error, advice=advice, explicit=True)
