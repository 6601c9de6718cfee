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
    #: Another checkout whose code it runs; None means this one's.
    tree: Path | None = None

    @property
    def python(self) -> Path:
        """Its interpreter."""
        if self.peer:
            return ENVIRONMENTS / self.peer / "bin" / "python"
        own = self.tree / ".venv" / "bin" / "python" if self.tree else None
        return own if own and own.exists() else Path(sys.executable)

    @property
    def path(self) -> str:
        """Where its interpreter looks for modules before all else."""
        if self.tree is None:
            return str(HERE.parent)
        return ":".join(str(self.tree / part) for part in ("bases", "components", "development"))


OURS = Contender("mousetrap", "benchmarks.ours", reports_left=True)
#: One message stands for both stages, which no peer does: a row of its own, and in no comparison of rates.
IN_PLACE = Contender(
    "mousetrap (in place)",
    "benchmarks.ours",
    settings={"BENCH_IN_PLACE": "yes"},
    extra=True,
    reports_left=True,
)
#: Without a broker, as streaQ.
EMBEDDED = Contender(
    "mousetrap (embedded)",
    "benchmarks.ours",
    settings={"BENCH_EMBEDDED": "yes"},
    extra=True,
    reports_left=True,
)

CONTENDERS = (
    OURS,
    Contender(
        "mousetrap (classic queues)",
        "benchmarks.ours",
        settings={"BENCH_QUEUE_TYPE": "classic"},
        extra=True,
        reports_left=True,
    ),
    IN_PLACE,
    EMBEDDED,
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
        for name in ("celery", "faststream", "taskiq")  # Dramatiq does not support them; streaQ has no broker
    ),
)

#: Who is compared with the fastest: every peer by its best settings.
PEERS = tuple(each.name for each in CONTENDERS if each.peer and not each.extra)
#: The peers that can use quorum queues, as our jobs do.
QUORUM_PEERS = tuple(each.name for each in CONTENDERS if each.settings.get("BENCH_QUEUE_TYPE") == "quorum")
