"""Names the nearest to a name that nothing has."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mousetrap.api_client import Api, LetterFilter, RunFilter

#: Failed runs whose errors are looked at: a page.
_FAILED = 200


def unknown_of_runs(api: "Api", asked: "RunFilter") -> str:
    """A line for each name of the filter that the API does not know; empty where it knows all. Such runs may be kept all the same."""
    from mousetrap.api_client import RunFilter
    from mousetrap.shapes import RunState

    lines: list[str] = []
    if asked.pipeline or asked.stage:
        pipelines = api.pipelines().value
        lines += _unknown("no pipeline {} is known", asked.pipeline, {it.name for it in pipelines})
        stages = {stage.name for it in pipelines for stage in it.stages}
        lines += _unknown("no pipeline has a stage {}", asked.stage, stages)
    if asked.error:
        failed = api.runs(RunFilter(state=RunState.FAILED), limit=_FAILED).value.runs
        kinds = _spellings(run.failure.kind for run in failed if run.failure)
        lines += _unknown("no run failed lately with the error {}", asked.error, kinds)
    return "\n".join(lines)


def unknown_of_letters(api: "Api", asked: "LetterFilter") -> str:
    """The same of dead letters: for the error alone."""
    from mousetrap.api_client import LetterFilter

    if not asked.error:
        return ""
    groups = api.letter_groups(LetterFilter()).value.groups
    kinds = _spellings(group.error_kind for group in groups)
    return "\n".join(_unknown("no dead letter has the error {}", asked.error, kinds))


def _spellings(kinds: Iterable[str]) -> set[str]:
    """Classes of errors with their modules and without, as a filter takes them."""
    return {name for kind in kinds for name in (kind, kind.rpartition(".")[2]) if name}


def _unknown(sentence: str, name: str | None, known: set[str]) -> Iterator[str]:
    if not name or name in known:
        return
    # A name without its module is rarely near to one that has it, and the other way round.
    near = get_close_matches(name, sorted(known), n=1)
    yield sentence.format(name) + (f": did you mean {near[0]}?" if near else "")
