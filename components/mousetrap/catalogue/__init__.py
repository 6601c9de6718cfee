"""The one list of this workspace's pipelines, workers, migrations and drawings of results."""

from mousetrap.catalogue.catalogue import (
    INPUTS,
    MIGRATIONS,
    PIPELINES,
    RENDERERS,
    ROOT_PIPELINE,
    SAMPLE,
    SETTINGS,
    WORKERS,
)

__all__ = ["INPUTS", "MIGRATIONS", "PIPELINES", "RENDERERS", "ROOT_PIPELINE", "SAMPLE", "SETTINGS", "WORKERS"]
