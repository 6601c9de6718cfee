"""Every pipeline of this workspace, by name: the API offers these, and their queues are declared."""

from mousetrap.catalogue.pipelines import PIPELINES

__all__ = ["PIPELINES"]
