"""Refuses a worker that would bury jobs of a shared queue."""

from collections.abc import Iterable, Sequence

from mousetrap.handlers import Binding
from mousetrap.pipeline import Pipeline
from mousetrap.settings import SettingsWrong


def check_shared_queues(bindings: Sequence[Binding], pipelines: Iterable[Pipeline]) -> None:
    """Returns if the bindings serve every stage that the `pipelines`, or their own, have on the queues of the bindings.

    A queue's messages go to any worker that takes from it, and one without a handler for the stage makes dead letters of
    them. Raises SettingsWrong with the stage that is missing.
    """
    served = {(binding.pipeline.name, binding.stage_name) for binding in bindings}
    taken = {
        binding.stage.queue: f"{binding.pipeline.name}.{binding.stage_name}" for binding in reversed(bindings)
    }
    for pipeline in (*(binding.pipeline for binding in bindings), *pipelines):
        for stage in pipeline.stages:
            if stage.queue in taken and (pipeline.name, stage.name) not in served:
                raise SettingsWrong(
                    f"queue {stage.queue!r} has jobs of {taken[stage.queue]} and of {pipeline.name}.{stage.name}, and this "
                    "worker serves only the first: it would make dead letters of the others. Serve both stages in one worker, "
                    "as `mousetrap worker` does with several names, or give one of them another queue"
                )
