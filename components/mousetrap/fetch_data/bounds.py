"""The bounds of a fetch: addresses, time, size."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchBounds:
    """The bounds of one fetch; the defaults fit a month of the world's earthquakes several times over."""

    #: Seconds for the whole fetch: names, connections, redirects and body together.
    total: float = 30.0
    #: Bytes of the body, after decompression.
    max_bytes: int = 32 * 1024 * 1024
    #: How many bytes one compressed byte may become; feeds reach 10, an honest text rarely 50, a bomb 1,000.
    max_ratio: int = 100
    max_redirects: int = 3
    #: Hosts, as "host" or "host:port", that may be addresses inside our own network.
    allowed: frozenset[str] = frozenset()
