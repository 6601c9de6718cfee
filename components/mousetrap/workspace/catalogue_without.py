"""Takes bricks out of the catalogue's text: pure."""

import ast
from collections.abc import Collection, Sequence

_WIDTH = 110


def catalogue_without(text: str, bricks: Collection[str]) -> str:
    """The catalogue's text without what is imported from these bricks, and without entries that name them."""
    tree = ast.parse(text)
    out = _Out(text, bricks)
    changes = [(node, out.statement(node)) for node in tree.body]
    lines = text.split("\n")
    for node, new in reversed(changes):
        if new is not None:
            lines[node.lineno - 1 : node.end_lineno] = new.split("\n") if new else []
    return "\n".join(lines)


class _Out:
    """Judges and writes the statements of a catalogue."""

    def __init__(self, text: str, bricks: Collection[str]) -> None:
        self._text = text
        self._modules = {f"mousetrap.{brick}" for brick in bricks}
        self._imported: set[str] = set()
        self._pipelines: set[str] = set()

    def statement(self, node: ast.stmt) -> str | None:
        """Its new text, "" for one that is removed, None for one that stays."""
        match node:
            case ast.ImportFrom(module=str(module)) if module in self._modules:
                self._imported |= {alias.asname or alias.name for alias in node.names}
                return ""
            case ast.AnnAssign(value=value) if value is not None:
                new = self._value(node, value)
                if new is None:
                    return None
                before = self._source(node).removesuffix(self._source(value))
                return before + new
        return None

    def _value(self, node: ast.AnnAssign, value: ast.expr) -> str | None:
        match value:
            case ast.Dict(keys=keys, values=values):
                pairs = [
                    f"{self._source(key)}: {self._source(item)}"
                    for key, item in zip(keys, values, strict=True)
                    if key is not None and not self._is_out(item)
                ]
                return None if len(pairs) == len(keys) else self._written(node, pairs)
            case ast.Tuple(elts=items):
                kept = [self._source(item) for item in items if not self._is_out(item)]
                return None if len(kept) == len(items) else _tuple(kept)
            case ast.DictComp(generators=[ast.comprehension(iter=ast.Tuple(elts=items) as source)]):
                kept = [self._source(item) for item in items if not self._is_out(item)]
                if len(kept) == len(items):
                    return None
                self._pipelines |= {self._source(item).lower() for item in items if self._is_out(item)}
                return self._source(value).replace(self._source(source), _tuple(kept)) if kept else "{}"
            case ast.Constant(value=str(name)) if name.partition(":")[0] in self._modules | self._pipelines:
                return "None"
        return None

    def _is_out(self, node: ast.expr) -> bool:
        """Whether the node names what is imported from the bricks, or one of their modules."""
        for part in ast.walk(node):
            match part:
                case ast.Name(id=name) if name in self._imported:
                    return True
                case ast.Constant(value=str(name)) if name.partition(":")[0] in self._modules:
                    return True
        return False

    def _written(self, node: ast.AnnAssign, pairs: Sequence[str]) -> str:
        line = "{" + ", ".join(pairs) + "}"
        start = self._source(node).partition("{")[0]
        if "\n" not in line and (
            not pairs or (len(start + line) <= _WIDTH and "\n" not in self._source(node))
        ):
            return line
        return "{\n" + "".join(f"    {pair},\n" for pair in pairs) + "}"

    def _source(self, node: ast.AST) -> str:
        return ast.get_source_segment(self._text, node) or ""


def _tuple(items: Sequence[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
