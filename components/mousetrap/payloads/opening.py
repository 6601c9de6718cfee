"""Opens the store of payloads that the settings name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from mousetrap.jobs import LARGEST_PAYLOAD
from mousetrap.payloads.backend import Backend
from mousetrap.payloads.folder_backend import FolderBackend
from mousetrap.payloads.payloads import Payloads
from mousetrap.payloads.s3_backend import S3Backend
from mousetrap.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadOptions:
    """Where payloads are kept, and which are."""

    #: Empty for the run store, file:///folder, or s3://bucket/prefix.
    url: str = ""
    #: Bytes of a payload that is still a part of its message.
    inline: int = 65_536
    #: Bytes of a payload that may be put.
    largest: int = LARGEST_PAYLOAD

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of a deployment."""
        return cls(
            url=settings.payload_url,
            inline=settings.payload_inline_bytes,
            largest=settings.payload_max_bytes,
        )


def open_payloads(options: PayloadOptions, in_store: Callable[[], Backend]) -> Payloads:
    """The payloads that the options name; `in_store` is the backend of the run store. It need not be reachable yet.

    Raises ValueError for an address of another kind, and for s3:// where obstore is not installed.
    """
    return Payloads(_backend(options.url, in_store), inline=options.inline, largest=options.largest)


def _backend(url: str, in_store: Callable[[], Backend]) -> Backend:
    parts = urlsplit(url)
    match parts.scheme:
        case "":
            return in_store()
        case "file":
            return FolderBackend(Path(unquote(parts.path)))
        case "s3":
            return S3Backend(url)
        case other:
            raise ValueError(
                f"payloads cannot be kept in {other}://: MOUSETRAP_PAYLOAD_URL is empty, file:///folder or s3://bucket"
            )
