"""The list to add your own pipeline to."""

from collections.abc import Mapping

from mousetrap.earthquakes import EARTHQUAKES
from mousetrap.pipeline import Pipeline

PIPELINES: Mapping[str, Pipeline] = {pipeline.name: pipeline for pipeline in (EARTHQUAKES,)}
