"""Keeps payloads that are too large for messages and records."""

from mousetrap.payloads.backend import Backend, Data, RunsPage
from mousetrap.payloads.blob_chunks import chunks_of
from mousetrap.payloads.folder_backend import FolderBackend
from mousetrap.payloads.opening import PayloadOptions, open_payloads
from mousetrap.payloads.payloads import Payloads, PayloadTooLarge, not_put
from mousetrap.payloads.s3_backend import S3Backend
from mousetrap.payloads.store_backend import StoreBackend

__all__ = [
    "Backend",
    "Data",
    "FolderBackend",
    "PayloadOptions",
    "PayloadTooLarge",
    "Payloads",
    "RunsPage",
    "S3Backend",
    "StoreBackend",
    "chunks_of",
    "not_put",
    "open_payloads",
]
