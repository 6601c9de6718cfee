"""Changes the input of a dead job."""

from collections.abc import Mapping

from mousetrap.dead_letters.letter import DeadLetter
from mousetrap.jobs import Job, MousetrapError
from mousetrap.pipeline import Pipeline, read, write


class NotEditable(MousetrapError):
    """The letter cannot be edited: redrive it as it is, or discard it."""


def edited(letter: DeadLetter, payload: bytes, pipelines: Mapping[str, Pipeline]) -> Job:
    """The letter's job with `payload` (JSON) for its input.

    Raises ContractBroken for an input that the stage does not take, NotEditable for a letter that is no job of ours.
    """
    job = letter.job
    if job is None or not letter.believed:
        # Signing it would make a job of ours out of a foreign message.
        raise NotEditable(f"dead letter {letter.id} is not signed by a key of ours, so it stays as it is")
    pipeline = pipelines.get(job.pipeline)
    stage = pipeline.stage(job.stage) if pipeline else None
    if stage is None:
        raise NotEditable(
            f"stage {job.stage!r} of pipeline {job.pipeline!r} is not known here: redrive the letter as it is"
        )
    return job.edited(write(read(payload, stage.input), stage.input))
