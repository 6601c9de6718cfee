"""Fills the templates; everything in them is escaped."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mousetrap.dashboard import words
from mousetrap.dashboard.view import Page, View

#: The navigation: part, address, label, and the key behind `g`.
NAVIGATION = (
    ("overview", "/", "Overview", "o"),
    ("pipelines", "/pipelines", "Pipelines", "p"),
    ("runs", "/runs", "Runs", "r"),
    ("dead", "/dead", "Dead letters", "d"),
    ("queues", "/queues", "Queues", "q"),
    ("workers", "/workers", "Workers", "w"),
    ("schedules", "/schedules", "Schedules", "s"),
)
#: A block of the layout that each page has.
BANNER = "banner"


class Templates:
    """The templates of the package."""

    def __init__(self, static_version: str) -> None:
        self._env = Environment(
            loader=PackageLoader("mousetrap.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.globals |= {
            "static": f"{words.BASE}/static/{static_version}",
            "base": words.BASE,
            "navigation": NAVIGATION,
            "clock": words.clock,
            "duration": words.duration,
            "number": words.number,
            "short": words.short,
            "url": words.url,
            "when": words.when,
        }
        # Macros are globals: a block that is filled alone does not run the imports at its template's head.
        for name in (
            "parts",
            "ask",
            "tree",
            "draw",
            "form",
            "run_parts",
            "letter_parts",
            "operation_parts",
            "schedule_parts",
            "worker_parts",
            "control",
        ):
            self._env.globals[name] = self._env.get_template(f"{name}.html").module

    def alone(self, template: str, **values: Any) -> str:
        """A template that shows no page."""
        return self._env.get_template(template).render(values)

    def whole(self, view: View, page: Page, **more: Any) -> str:
        """The page."""
        return self._env.get_template(page.template).render(self._values(view, page, more))

    def regions(self, view: View, page: Page, **more: Any) -> Mapping[str, str]:
        """The parts of the page that change while it is open, by the id of their element."""
        template = self._env.get_template(page.template)
        context = template.new_context(self._values(view, page, more))
        layout = self._env.get_template("layout.html")
        blocks = {BANNER: layout.blocks[BANNER], **template.blocks}
        return {name: "".join(blocks[name](context)).strip() for name in (*page.regions, BANNER)}

    def _values(self, view: View, page: Page, more: Mapping[str, Any]) -> dict[str, Any]:
        return {"view": view, "page": page, "it": page.data, "now_ms": view.now_ms, **more}
