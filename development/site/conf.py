"""Makes a site of the pages in docs, for `make docs`.

The pages are those that a repository's own viewer shows: nothing in them is for this site alone. Their order is that of docs/README.md.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

project = "Mousetrap"
root_doc = "README"
extensions = ["myst_parser"]
include_patterns = [
    "README.md",
    "SECURITY.md",
    "docs/*.md",
    "docs/*/*.md",
    "deploy/README.md",
    "projects/*/README.md",
    "bases/*/*/README.md",
    "components/*/*/README.md",
    "test/chaos/README.md",
    "development/benchmarks/README.md",
]
exclude_patterns = [".venv", ".tools", "dist"]
myst_heading_anchors = 4
myst_enable_extensions = ["tasklist"]
suppress_warnings = ["toc.not_included"]  # a test checks that docs/README.md has each page
html_theme = "furo"
html_title = "Mousetrap"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_show_search_summary = False  # it would fetch pages, which a browser refuses for files
#: A picture for each of a viewer's colours: the site takes the one for light.
_PICTURE = re.compile(r'<picture>.*?<img alt="(.+?)" src="(.+?)">.*?</picture>', re.DOTALL)


def _toctrees(index: str) -> str:
    """A table of contents for each heading of docs/README.md, of the pages that it links."""
    made = []
    for part in index.split("\n## ")[1:]:
        heading, _, links = part.partition("\n")
        pages = re.findall(r"^- \[(.+?)\]\((.+?)\.md\)", links, re.MULTILINE)
        lines = "\n".join(f"{title} <{_name(page)}>" for title, page in pages if _name(page) != root_doc)
        made.append(f"\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{lines}\n```\n")
    return "".join(made)


def _name(link: str) -> str:
    """The page that a link of docs/README.md leads to, as Sphinx names it."""
    return str((ROOT / "docs" / link).resolve().relative_to(ROOT))


def setup(app: Any) -> None:
    def adapt(_app: Any, page: str, source: list[str]) -> None:
        source[0] = _PICTURE.sub(r"![\1](\2)", source[0])
        if page == root_doc:
            source[0] += _toctrees((ROOT / "docs/README.md").read_text())

    app.connect("source-read", adapt)
