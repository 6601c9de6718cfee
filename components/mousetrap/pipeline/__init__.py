"""Pipelines and stages as frozen data, without handler code."""

from mousetrap.pipeline.after import All, AnyOf, Each, edge_of, needed
from mousetrap.pipeline.contract import read, require_json_form, schema, write
from mousetrap.pipeline.contract_broken import ContractBroken
from mousetrap.pipeline.edges import fallbacks, members, predecessors
from mousetrap.pipeline.fallen import Fallen
from mousetrap.pipeline.fan import Fan, Level
from mousetrap.pipeline.gathered import (
    PAGE,
    Counted,
    Gathered,
    MemoryPages,
    OutputsMissing,
    Page,
    Pages,
    gathered_item,
    is_gathered,
    takes_gathered,
    use_pages,
)
from mousetrap.pipeline.graph import MOST_NESTED
from mousetrap.pipeline.json_schema import JsonSchema, all_of
from mousetrap.pipeline.limit import AtMost, Limit, LimitAt, Rate
from mousetrap.pipeline.lock import Lock
from mousetrap.pipeline.manifest import (
    ManifestBroken,
    PipelineManifest,
    RetryManifest,
    StageManifest,
    manifest_of,
    pipeline_of,
    read_manifests,
    result_of,
    write_manifests,
)
from mousetrap.pipeline.many import AsyncMany, Counts, Keyed, Many, item_of
from mousetrap.pipeline.model import Pipeline
from mousetrap.pipeline.named_fields import REQUIRED, named_fields
from mousetrap.pipeline.payload import (
    Payload,
    SerializerName,
    limits_met,
    lock_key,
    payload_as_json,
    payload_as_text,
    payload_as_written,
    payload_size,
    read_payload,
    shown_payload,
    write_payload,
)
from mousetrap.pipeline.serializer import Serializer, SerializerMissing
from mousetrap.pipeline.stage import Fallback, Stage
from mousetrap.pipeline.topics import LONGEST_TOPIC, TopicInvalid, check_topic, matches, nearest
from mousetrap.pipeline.type_text import type_text, type_texts

__all__ = [
    "LONGEST_TOPIC",
    "MOST_NESTED",
    "PAGE",
    "REQUIRED",
    "All",
    "AnyOf",
    "AsyncMany",
    "AtMost",
    "ContractBroken",
    "Counted",
    "Counts",
    "Each",
    "Fallback",
    "Fallen",
    "Fan",
    "Gathered",
    "JsonSchema",
    "Keyed",
    "Level",
    "Limit",
    "LimitAt",
    "Lock",
    "ManifestBroken",
    "Many",
    "MemoryPages",
    "OutputsMissing",
    "Page",
    "Pages",
    "Payload",
    "Pipeline",
    "PipelineManifest",
    "Rate",
    "RetryManifest",
    "Serializer",
    "SerializerMissing",
    "SerializerName",
    "Stage",
    "StageManifest",
    "TopicInvalid",
    "all_of",
    "check_topic",
    "edge_of",
    "fallbacks",
    "gathered_item",
    "is_gathered",
    "item_of",
    "limits_met",
    "lock_key",
    "manifest_of",
    "matches",
    "members",
    "named_fields",
    "nearest",
    "needed",
    "payload_as_json",
    "payload_as_text",
    "payload_as_written",
    "payload_size",
    "pipeline_of",
    "predecessors",
    "read",
    "read_manifests",
    "read_payload",
    "require_json_form",
    "result_of",
    "schema",
    "shown_payload",
    "takes_gathered",
    "type_text",
    "type_texts",
    "use_pages",
    "write",
    "write_manifests",
    "write_payload",
]
