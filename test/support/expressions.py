"""Reads what the rules and the board of deploy/ name."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from mousetrap.metrics import API, WORKER
from support.prometheus import ROOT, RULES

BOARD = ROOT / "deploy/grafana/mousetrap.json"
#: What Grafana fills in: any pipeline, a time.
_FILLED = {"$pipeline": ".*", "$__rate_interval": "1m"}
#: The comparisons and the joins that leave series out where all is well.
_COMPARES = re.compile(r"\s(?:and|or|unless|[<>]=?|[=!]=)\s")
_NUMBER = re.compile(r"[0-9.e+-]+")
#: The labels of a target, and those that Prometheus or its histograms add.
_OURS_NOT = {"instance", "job", "le"}


def rules() -> list[dict[str, Any]]:
    """All rules, recorded ones and alerts."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def board_expressions() -> Iterator[str]:
    """Those of the board, with what Grafana fills in."""
    for panel in json.loads(BOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in _FILLED.items():
                expression = expression.replace(name, value)
            yield expression


def vectors(expression: str) -> list[str]:
    """The parts of an expression between its comparisons; each has series whether or not all is well."""
    parts = map(_balanced, _COMPARES.split(expression))
    return [each for each in parts if not _NUMBER.fullmatch(each)]


def _balanced(part: str) -> str:
    """The part without brackets whose other one is in another part."""
    part = part.strip()
    while part.startswith("(") and part.count("(") > part.count(")"):
        part = part[1:].strip()
    while part.endswith(")") and part.count(")") > part.count("("):
        part = part[:-1].strip()
    return part


def names_in(expression: str) -> set[str]:
    """The names of series."""
    return set(re.findall(r"\b(?:mousetrap|process)[a-z0-9_:]+|\bup\b", expression))


def labels_in(expression: str) -> set[str]:
    """The names of labels that it selects by, or keeps."""
    found = re.findall(r"(?:by|without) \(([^)]*)\)", expression)
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\"", expression)
    return {label.strip() for group in found for label in group.split(",")} | set(selected)


def exported() -> dict[str, set[str]]:
    """The labels of each series of ours."""
    return {series: {*name.labels} for name in (*WORKER, *API) for series in name.series}


def strange_labels(expression: str) -> set[str]:
    """The labels of an expression that none of the metrics in it has."""
    had = set().union(*(exported().get(name, set()) for name in names_in(expression)))
    return labels_in(expression) - had - _OURS_NOT
