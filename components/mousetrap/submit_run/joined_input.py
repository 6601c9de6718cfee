"""Makes the input of a join from what a run's children gave."""

import msgspec
from msgspec import UNSET

from mousetrap.blobs import has_blobs
from mousetrap.jobs import Done, Job
from mousetrap.pipeline import Counted, Fan
from mousetrap.run_store import RunStore, StoredRun
from mousetrap.shapes import Fan as Children

#: Children whose outputs are looked at before a join begins on them once more; what is further on is its own to find.
_LOOKED_AT = 100


class JoinImpossible(Exception):
    """The join cannot begin on what is there; the text has the reason, and what can be done."""


async def joined_input(store: RunStore, run: StoredRun, opener: Job, fan: Fan) -> bytes:
    """The input of the stage that joins the children of `opener`, for another run. Raises JoinImpossible and PayloadUnusable."""
    children = next((each for each in run.fans if each.job == opener.id), None)
    if children is None:
        raise JoinImpossible(f"the run's record of what {opener.stage!r} opened is gone: begin there")
    if children.state != "fired":
        raise JoinImpossible(_why_not(run, children))
    if fan.is_fork:
        return await _by_name(store, run, opener, fan)
    await _check_outputs(store, run, opener)
    place = f"{run.id}/{opener.id}"
    counted = Counted(children.total or 0, children.done, children.lost, place)
    return msgspec.json.encode(counted)


def _why_not(run: StoredRun, children: Children) -> str:
    left = (children.total or children.opened) - children.done - children.lost
    if children.total is None or left:
        more = " so far" if children.total is None else ""
        return (
            f"of the {children.total or children.opened} jobs{more} that {children.stage!r} opened {left} have not ended: wait for them, "
            f"or see them with `mousetrap jobs {run.id}`"
        )
    return (
        f"of the {children.total} jobs that {children.stage!r} opened {children.lost} were given up, more than their join can do "
        f"without: redrive them with `mousetrap dead redrive --run {run.id}`, and the join follows by itself"
    )


async def _check_outputs(store: RunStore, run: StoredRun, opener: Job) -> None:
    """Looks at the first outputs for what would keep the join from reading them in another run."""
    for output in await store.children(run.id, opener.id, 0, _LOOKED_AT):
        if output.state != "done":
            continue
        if not isinstance(output.outcome, Done):
            raise JoinImpossible(
                f"the outputs of its children are not kept any more: begin at {opener.stage!r}"
            )
        if has_blobs(bytes(output.outcome.output)):
            raise JoinImpossible(
                f"the outputs of its children have blobs, which belong to run {run.id}: begin at {opener.stage!r}"
            )


async def _by_name(store: RunStore, run: StoredRun, opener: Job, fan: Fan) -> bytes:
    """The outputs of joined branches as one object."""
    fields = {}
    for output in await store.children(run.id, opener.id, 0, len(fan.last)):
        name, outcome = fan.last[output.index].name, output.outcome
        if not isinstance(outcome, Done):
            raise JoinImpossible(
                f"the output of stage {name!r} is not kept any more: begin at {opener.stage!r}"
            )
        fields[name] = outcome.output
        if outcome.reference is not UNSET:
            fields[name] = msgspec.Raw(await store.payloads.get(outcome.reference))
    return msgspec.json.encode(fields)
