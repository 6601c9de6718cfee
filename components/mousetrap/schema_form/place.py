"""Holds where a field of a form is."""

from dataclasses import dataclass, field

from mousetrap.schema_form import names
from mousetrap.schema_form.part import Part


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field is."""

    pointer: str = ""
    path: str = "$"
    label: str = ""
    is_required: bool = True
    depth: int = 0
    references: frozenset[str] = field(default_factory=frozenset)

    def within(self, step: str | int, part: Part, is_required: bool = True) -> "Place":
        """The place of a member, or of an item, of this one."""
        is_item = isinstance(step, int)
        return Place(
            names.below(self.pointer, step),
            f"{self.path}[{step}]" if is_item else f"{self.path}.{step}",
            str(step + 1) if isinstance(step, int) else step,
            is_required,
            self.depth + 1,
            part.references,
        )


ROOT = Place()
