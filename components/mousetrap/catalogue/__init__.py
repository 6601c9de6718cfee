"""Lists this workspace's pipelines, workers, settings, migrations and renderers."""

from mousetrap.catalogue.catalogue import (
    INPUTS,
    MIGRATIONS,
    PIPELINES,
    RECORDS,
    RENDERERS,
    ROOT_PIPELINE,
    SAMPLE,
    SCHEDULES,
    SETTINGS,
    WORKERS,
)

__all__ = [
    "INPUTS",
    "MIGRATIONS",
    "PIPELINES",
    "RECORDS",
    "RENDERERS",
    "ROOT_PIPELINE",
    "SAMPLE",
    "SCHEDULES",
    "SETTINGS",
    "WORKERS",
]
