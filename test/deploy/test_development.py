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
    same = {name: stack["secrets"][name] for name in needed}
    # The same users and rights, and one user more for RabbitMQ's pages.
    same["rabbitmq_definitions.json"] = {"file": "${SECRETS:-./secrets}/development_definitions.json"}
    assert same == development["secrets"]


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((_DEPLOY / name).read_text())
    return found
