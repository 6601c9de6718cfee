"""Lists texts from outside that must never become markup."""

import re
from html.parser import HTMLParser

#: Addresses that a page of the dashboard may have.
_OWN = re.compile(r"/ui(/|$)|#|/docs$|\?")

#: Each is put where a message, a worker, an error, a tag or a log line has its text.
HOSTILE = (
    '"><script>alert(1)</script>',
    "<img src=x onerror=alert(1)>",
    "'\"><a href=javascript:alert(1)>x</a>",
    "javascript:alert(1)",
    "{{ 7 * 7 }} {% raw %}",
    "${7*7} <%= 7*7 %>",
    "</textarea></pre></table></title><h1>x",
    "<!-- --><![CDATA[ x ]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u202egpj.exe\u2066 \u200f \ufeff",
    "a\x00b\x07c\x1b[31md\x7f",
    "line\r\nSet-Cookie: x=1\r\n\r\ndata: <b>x</b>\n\nevent: end\n\n",
    "http://elsewhere.example/?a=1&b=<c>",
    "//elsewhere.example/x",
    "../../../etc/passwd",
    "%2e%2e%2f?x=1#y;z=%00",
    "hx-get=/x hx-on:click=alert(1) data-hx-on=x",
    "<hx-partial hx-target='#main'>x</hx-partial>",
    "\U0001d518\U0001d52b \U0001f600 \xe9 \xdf \u0301\u0301\u0301",
    "a" * 5_000,
    "",
)


def check_harmless(page: str) -> None:
    """Fails where a page has an element, an attribute or an address that no template of ours has."""
    found = _Elements()
    found.feed(page)
    found.close()
    assert found.faults == []
    assert found.titles == 1


class _Elements(HTMLParser):
    """Reads a page as a browser does, and notes what may not be there."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.titles = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.titles += tag == "h1"
        if tag in ("img", "iframe", "object", "embed", "base", "style", "hx-partial", "b"):
            self.faults.append(tag)
        if tag == "script" and not given.get("src", "").startswith("/ui/static/"):
            self.faults.append("script")
        for name, value in given.items():
            if name.startswith(("on", "hx-", "data-hx-", "style", "srcdoc")):
                self.faults.append(f"{tag} {name}={value}")
            if name in ("href", "src", "action", "formaction", "xlink:href") and not _OWN.match(value):
                self.faults.append(f"{tag} {name}={value}")

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"comment {data}")
