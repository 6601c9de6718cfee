"""Places the stages of a pipeline in a picture."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log10

from mousetrap.charts import Sparkline
from mousetrap.graph_layout import Edge, Layout, Node, lay_out
from mousetrap.shapes import Arrow, Pipeline, Stage

#: About what a letter takes in the fonts of the style sheet. A box has room for usual counts, so that none moves when these grow.
_LETTER, _SMALL_LETTER, _ICON = 9.0, 7.2, 15.0
_LEAST_WIDTH, _MOST_WIDTH, _SIDES = 160.0, 236.0, 24.0
_HEIGHT, _SPARK_HEIGHT = 66.0, 20.0
#: Stages of a pipeline that is drawn for wide and for narrow pages.
_MOST_TWICE = 24
#: The word at a line that is not of the usual kind.
_WORDS = {
    "each": "each item",
    "gather": "all items",
    "join": "all",
    "fork": "copy",
    "branch": "by type",
    "fallback": "on failure",
}


@dataclass(frozen=True, slots=True)
class Count:
    """A number in a box, with its icon."""

    icon: str
    text: str
    #: What the number counts, for a reader.
    title: str
    #: Where it stands in the box, from the left.
    x: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeView:
    """What is known of a stage."""

    stage: str
    #: The second line: its queue, or its worker.
    note: str = ""
    href: str = ""
    #: The state whose colour its edge has.
    state: str = ""
    counts: tuple[Count, ...] = ()
    spark: Sparkline | None = None
    #: Behind the icon of an alarm.
    alarm: str = ""
    #: Whether a run has many jobs of it.
    many: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """What is known of a line."""

    #: How much comes along it in a minute; None where that is not known.
    rate: float | None = None
    #: Whether the run went along it.
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """The text of a line, and how thick it is."""

    text: str
    title: str
    width: float
    taken: bool


@dataclass(frozen=True, slots=True)
class StageGraph:
    """The picture, for a wide page and for a narrow one."""

    name: str
    right: Layout
    #: None for a large one: each drawing of 60 stages takes 50 kB.
    down: Layout | None
    nodes: Mapping[str, NodeView]
    #: By source, target and kind.
    labels: Mapping[tuple[str, str, str], Label]


def stage_graph(
    pipeline: Pipeline, nodes: Sequence[NodeView], flows: Mapping[tuple[str, str], Flow]
) -> StageGraph:
    """The picture of these nodes, in the order of the pipeline's stages."""
    views = {node.stage: _spread(node) for node in nodes}
    boxes = [Node(view.stage, _width(view), _height(view)) for view in views.values()]
    edges = [Edge(arrow.source, arrow.target, arrow.kind) for arrow in pipeline.arrows]
    labels = {
        (arrow.source, arrow.target, arrow.kind): _label(
            arrow, flows.get((arrow.source, arrow.target), Flow())
        )
        for arrow in pipeline.arrows
    }
    down = lay_out(boxes, edges, "down") if len(boxes) <= _MOST_TWICE else None
    return StageGraph(pipeline.name, lay_out(boxes, edges), down, views, labels)


def has_many(pipeline: Pipeline, stage: Stage) -> bool:
    """Whether a run has a job of it for each item of a fan-out."""
    return any(arrow.kind == "each" and arrow.source in stage.inside for arrow in pipeline.arrows)


def shortened(text: str, width: float, letter: float = _SMALL_LETTER) -> str:
    """The text, cut to what fits."""
    most = int(width / letter)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _spread(view: NodeView) -> NodeView:
    """With its counts beside one another."""
    x, placed = 12.0, list[Count]()
    for count in view.counts:
        placed.append(Count(count.icon, count.text, count.title, x))
        x += _ICON + len(count.text) * _SMALL_LETTER + 9
    room = _MOST_WIDTH - _SIDES
    return NodeView(
        view.stage, shortened(view.note, room), view.href, view.state, tuple(placed), view.spark, view.alarm,
        view.many, shortened(view.title or view.stage, room - 24, _LETTER),
    )  # fmt: skip


def _width(view: NodeView) -> float:
    last = view.counts[-1] if view.counts else None
    counts = last.x + _ICON + len(last.text) * _SMALL_LETTER if last else 0.0
    title = len(view.title) * _LETTER + (24 if view.many or view.alarm else 0)
    texts = max(title, len(view.note) * _SMALL_LETTER) + _SIDES
    return min(max(_LEAST_WIDTH, texts, counts + 12), max(_MOST_WIDTH, counts + 12))


def _height(view: NodeView) -> float:
    return _HEIGHT + (_SPARK_HEIGHT if view.spark else 0)


def _label(arrow: Arrow, flow: Flow) -> Label:
    rate = f"{flow.rate:.3g}/min" if flow.rate is not None and flow.rate >= 0.05 else ""
    if flow.rate is not None and flow.rate >= 1000:
        rate = f"{flow.rate:,.0f}/min"
    word = _WORDS.get(arrow.kind, "")
    title = f"{arrow.source} to {arrow.target}" + "".join(f", {it}" for it in (word, rate) if it)
    thick = 1.5 + log10(1 + (flow.rate or 0))
    return Label(rate or word, title, round(min(thick, 6.0), 1), flow.taken)


def flows_in(pipeline: Pipeline, rates: Mapping[str, float | None]) -> dict[tuple[str, str], Flow]:
    """What comes to a stage, by the line that leads to it; of several lines none is known apart."""
    found: dict[tuple[str, str], Flow] = {}
    for target, arrows in _by_target(pipeline.arrows).items():
        if len(arrows) == 1 and (rate := rates.get(target)) is not None:
            found[arrows[0].source, target] = Flow(rate)
    return found


def _by_target(arrows: Iterable[Arrow]) -> Mapping[str, list[Arrow]]:
    found: dict[str, list[Arrow]] = {}
    for arrow in arrows:
        found.setdefault(arrow.target, []).append(arrow)
    return found
