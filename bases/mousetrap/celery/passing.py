"""Starts runs of Celery's tasks, and waits for their ends."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mousetrap.celery.broker import CeleryBroker
from mousetrap.celery_messages import Declared, Invocation, NotUnderstood, bound
from mousetrap.client import (
    AsyncClient,
    Pipelines,
    RunCancelled,
    RunExpired,
    RunFailed,
    UnknownRun,
    WaitTimeout,
)
from mousetrap.pipeline import Pipeline, schema
from mousetrap.retry import Outage
from mousetrap.shapes import Failure
from mousetrap.submit_run import RUN_ID_FORM, run_id_of_key

#: How long an attempt waits for a run, holding a slot. Longer runs are looked at again, after pauses that grow with them.
_WAIT_S = 10.0
#: Characters of a tag.
_LONGEST_TAG = 64

_run_id = re.compile(RUN_ID_FORM)


class RunGoesOn(Outage):
    """The run has not ended yet; that is no failure, and counts as none."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    state: str
    result: Any = None
    #: Of one that failed.
    failure: Failure | None = None


class Passing:
    """What a worker of `from_celery` works with."""

    def __init__(
        self, declared: Declared, client: AsyncClient, pipelines: Pipelines, broker: CeleryBroker
    ) -> None:
        self.declared = declared
        self.client = client
        self.broker = broker
        self._pipelines = pipelines
        self._schemas: dict[str, tuple[Pipeline, Any]] = {}

    async def start(self, call: Invocation) -> str:
        """The id of the call's run, once that is accepted; empty where its time is over, as Celery drops such a call.

        The task's id is the run's, so that the same message starts one run. Raises NotUnderstood, UnknownPipeline, and as
        `AsyncClient.submit` does.
        """
        name = self.declared.tasks.get(call.task)
        if name is None:
            raise NotUnderstood(
                f"no pipeline is declared for the task {call.task!r}: add it to [tasks], start `mousetrap celery` again, and redrive this"
            )
        pipeline = await self._pipelines.named(name)
        run_id = _run_id_of(call, name)
        now = datetime.now(UTC)
        if call.expires and call.expires <= max(now, call.eta or now) and not await self._is_known(run_id):
            return ""
        run = await self.client.submit(
            pipeline,
            bound(call.args, call.kwargs, self._schema(pipeline)),
            id=run_id,
            delay=max(0.0, (call.eta - now).total_seconds()) if call.eta else None,
            expires_in=_left_s(call, now),
            tags=_tags(call),
            priority=call.priority,
        )
        return run.id

    async def ended(self, run_id: str) -> Ended:
        """How the run ended. Raises RunGoesOn, UnknownRun, and StoreUnreachable."""
        try:
            return Ended("completed", await self.client.run(run_id).wait(_WAIT_S))
        except WaitTimeout as error:
            raise RunGoesOn(f"run {run_id} has not ended; it is looked at again") from error
        except RunFailed as error:
            return Ended("failed", failure=error.run.failure)
        except RunCancelled:
            return Ended("cancelled")
        except RunExpired:
            return Ended("expired")

    async def _is_known(self, run_id: str) -> bool:
        try:
            await self.client.run(run_id).status()
        except UnknownRun:
            return False
        return True

    def _schema(self, pipeline: Pipeline) -> Any:
        """The schema of its input; made once for as long as workers publish the same."""
        found = self._schemas.get(pipeline.name)
        if found is None or found[0] is not pipeline:
            found = self._schemas[pipeline.name] = pipeline, schema(pipeline.first.input)
        return found[1]


def _run_id_of(call: Invocation, pipeline: str) -> str:
    """Celery's id is a run's as well; one that a client made up may have another form."""
    return call.id if _run_id.fullmatch(call.id) else run_id_of_key("celery", pipeline, call.id)


def _left_s(call: Invocation, now: datetime) -> float | None:
    """Seconds until its time is over. Of one that is known, whose own end counts, it may be over already."""
    left_s = (call.expires - now).total_seconds() if call.expires else None
    return left_s if left_s is not None and left_s > 0 else None


def _tags(call: Invocation) -> tuple[str, ...]:
    """What finds all runs that began with one call: the id of that."""
    tag = f"celery:{call.root_id}"
    return (tag,) if len(tag) <= _LONGEST_TAG and tag.isprintable() else ()
