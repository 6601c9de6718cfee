"""The pipelines that a process knows: its own, and those of workers."""

from mousetrap.known_pipelines.errors import NoTaker, TakerContradicted
from mousetrap.known_pipelines.judge import Known, Source, judge
from mousetrap.known_pipelines.known import KnownPipelines

__all__ = ["Known", "KnownPipelines", "NoTaker", "Source", "TakerContradicted", "judge"]
