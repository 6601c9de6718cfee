"""Pipelines and stages as frozen data, without handler code."""

from mousetrap.pipeline.contract import ContractBroken, read, schema, write
from mousetrap.pipeline.lock import Lock
from mousetrap.pipeline.model import Pipeline, Stage

__all__ = ["ContractBroken", "Lock", "Pipeline", "Stage", "read", "schema", "write"]
