"""Reads a form from a page as a browser does."""

from html.parser import HTMLParser


def sent_by(page: str, action: str) -> dict[str, str]:
    """The names and texts that a browser sends for the form with this action."""
    found = _Fields(action)
    found.feed(page)
    found.close()
    return found.sent


class _Fields(HTMLParser):
    def __init__(self, action: str) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self._action = action
        self._is_in = False
        self._name = ""
        self._text: list[str] | None = None
        self._chosen: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._is_in = given.get("action", "") == self._action
        if not self._is_in:
            return
        if tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            self.sent[given["name"]] = given.get("value", "on")
        elif tag == "textarea":
            self._name, self._text = given["name"], []
        elif tag == "select":
            self._name, self._chosen = given["name"], None
        elif tag == "option" and (self._chosen is None or "selected" in given):
            self._chosen = given["value"]

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_in = False
        elif tag == "textarea" and self._text is not None:
            # The first line's end belongs to the tag; a browser sends two characters for each other one.
            self.sent[self._name] = "".join(self._text).removeprefix("\n").replace("\n", "\r\n")
            self._text = None
        elif tag == "select" and self._is_in:
            self.sent[self._name] = self._chosen or ""
