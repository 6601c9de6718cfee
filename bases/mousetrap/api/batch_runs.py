"""Starts the runs that the lines of a batch describe."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from mousetrap.api.batch_line import BatchLine, accepted_line, read_line, refused_line
from mousetrap.api.errors import problem_of
from mousetrap.api.lines import Line
from mousetrap.api.options import read_options, utc_now
from mousetrap.api.problems import Kind, Problem
from mousetrap.api.services import Services
from mousetrap.api.start import checked_input, new_id
from mousetrap.pipeline import Pipeline
from mousetrap.submit_run import Accepted, Gate, Submission, run_id_of_key

_log = logging.getLogger("mousetrap.api")


class _Refused(NamedTuple):
    """A line that describes no run, or one that cannot be."""

    #: Empty where the line could not be read.
    run_id: str
    error: Exception


class BatchRuns:
    """The runs of one batch.

    While broker or store is away, one line a second is tried, and after a few seconds the others are answered at once: each
    would wait for as long again. To send a refused line once more is safe, with the run's id in its answer.
    """

    def __init__(self, services: Services, pipeline: Pipeline, owner: str, most_bytes: int) -> None:
        self._services = services
        self._pipeline = pipeline
        self._owner = owner
        self._most_bytes = most_bytes
        self._gate = Gate()
        #: For the log: how many lines had which answer.
        self.facts: dict[str, Any] = {"pipeline": pipeline.name, "new": 0, "known": 0, "refused": 0}

    async def start(self, lines: Sequence[Line], *, local: bool) -> bytes:
        """The answers to these lines, in order; a `local` caller gets errors as a whole."""
        now = utc_now()
        read = [self._read(line, now) for line in lines]
        runs = [it for it in read if isinstance(it, Submission)]
        accepted = iter(await self._services.submitter.submit_many(runs, self._gate))
        return b"".join(
            self._answer(
                line.number, it.run_id, next(accepted) if isinstance(it, Submission) else it.error, local
            )
            for line, it in zip(lines, read, strict=True)
        )

    def _read(self, line: Line, now: datetime) -> Submission | _Refused:
        """The run that a line describes, or why it is none."""
        run_id = ""
        try:
            if line.text is None:
                advice = f"write at most {self._most_bytes} bytes, or raise MOUSETRAP_API_MAX_BODY"
                raise Problem(Kind.LINE_TOO_LONG, advice)
            asked = read_line(line.text)
            run_id = self._id_of(asked)
            body = checked_input(self._services, self._pipeline, asked.body)
            is_new = asked.id is None and asked.unique is None
            return Submission(self._pipeline, body, run_id, read_options(asked, "$", now), is_new)
        except Exception as error:  # noqa: BLE001  each line has its own result, whatever it is
            return _Refused(run_id, error)

    def _id_of(self, asked: BatchLine) -> str:
        if asked.unique is not None:
            return run_id_of_key(self._owner, self._pipeline.name, asked.unique)
        return asked.id or new_id()

    def _answer(self, number: int, run_id: str, result: Accepted | Exception, local: bool) -> bytes:
        if isinstance(result, Accepted):
            self.facts["new" if result.new else "known"] += 1
            return accepted_line(number, result)
        self.facts["refused"] += 1
        problem = problem_of(result, local=local)
        if problem is None:
            _log.error("a line of a batch met a defect", exc_info=result)
            detail = "this is a defect of ours: the server's log has its traceback"
            problem = Problem(Kind.INTERNAL_ERROR, detail)
        return refused_line(number, problem, run_id)
