"""Lists the contenders: process, settings, and why they are fair."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".tools" / "benchmarks"


@dataclass(frozen=True, slots=True)
class Contender:
    """A row of the tables: `python -m <module> submit N | work | latency N | left`, configured by BENCH_… variables."""

    name: str
    module: str
    #: The folder under peers/ whose requirements.txt makes its environment; None means this workspace's own.
    peer: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    #: Whether it is a variant, measured less often and left out of the comparison with the fastest.
    extra: bool = False
    #: Whether `left` knows how many runs are not done, because the broker alone does not.
    reports_left: bool = False

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return ENVIRONMENTS / self.peer / "bin" / "python" if self.peer else Path(sys.executable)


OURS = Contender("mousetrap", "benchmarks.ours", reports_left=True)

CONTENDERS = (
    OURS,
    Contender(
        "mousetrap (classic queues)",
        "benchmarks.ours",
        settings={"BENCH_QUEUE_TYPE": "classic"},
        extra=True,
        reports_left=True,
    ),
    Contender(
        "mousetrap (embedded)",
        "benchmarks.ours",
        settings={"BENCH_EMBEDDED": "yes"},
        extra=True,
        reports_left=True,
    ),
    *(
        Contender(name, f"benchmarks.peers.{name}", name)
        for name in ("celery", "dramatiq", "faststream", "taskiq")
    ),
    Contender("streaq", "benchmarks.peers.streaq", "streaq", reports_left=True),
    *(
        Contender(
            f"{name} (quorum queues)",
            f"benchmarks.peers.{name}",
            name,
            settings={"BENCH_QUEUE_TYPE": "quorum"},
            extra=True,
        )
        for name in ("celery", "faststream", "taskiq")
    ),
)

#: Who is compared with the fastest: every peer by its best settings.
PEERS = tuple(each.name for each in CONTENDERS if each.peer and not each.extra)
