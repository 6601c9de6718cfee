"""Compares the development servers with the stack that they extend."""

from pathlib import Path
from typing import Any

import yaml

_DEPLOY = Path(__file__).parents[2] / "deploy"


def test_the_development_servers_have_each_secret_that_they_take_over() -> None:
    stack, development = _read("compose.yml"), _read("development.yml")
    extended = [each["extends"]["service"] for each in development["services"].values()]
    needed = {secret for name in extended for secret in stack["services"][name].get("secrets", [])}

    assert len(extended) >= 2 and needed  # a workspace without the example has no PostgreSQL
    assert {name: stack["secrets"][name] for name in needed} == development["secrets"]


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((_DEPLOY / name).read_text())
    return found
