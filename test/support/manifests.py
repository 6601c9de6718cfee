"""Reads the manifests of deploy/kubernetes, and their processes."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
Manifest = dict[str, Any]


def read(file: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(file.read_text()))


MANIFESTS = [
    manifest
    for file in sorted(FOLDER.rglob("*.yaml"))
    if file.name != "kustomization.yaml"
    for manifest in read(file)
]


def name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def of_kind(*kinds: str) -> list[Manifest]:
    return [each for each in MANIFESTS if each["kind"] in kinds]


PROCESSES = of_kind("Deployment", "Job")


def pod(process: Manifest) -> Manifest:
    found: Manifest = process["spec"]["template"]["spec"]
    return found


def container(process: Manifest) -> Manifest:
    (found,) = pod(process)["containers"]
    return dict(found)


def environment(process: Manifest) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(process)["env"]}


def ways_out(process: Manifest) -> list[Manifest]:
    """What the policies let the process reach, each with its ports; a Deployment's pods and a Job's have its name."""
    labels = process["spec"]["template"]["metadata"]["labels"]
    policies = [
        each["spec"] for each in of_kind("NetworkPolicy") if selects(each["spec"]["podSelector"], labels)
    ]
    assert any("Egress" in each["policyTypes"] for each in policies)
    return [way for each in policies for way in each.get("egress", [])]


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", [])
    )


def ports(way: Manifest) -> set[int]:
    return {each["port"] for each in way["ports"]}
