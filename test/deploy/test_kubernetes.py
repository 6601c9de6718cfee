"""Tests the manifests against the schemas of Kubernetes and KEDA."""

import copy
import importlib
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from mousetrap.api import create_app
from mousetrap.catalogue import PIPELINES, SETTINGS, WORKERS
from mousetrap.catalogue_entries import Worker, load
from mousetrap.discovery import discover
from mousetrap.settings import ENGINE, Settings, entries
from support.manifests import (
    FOLDER,
    MANIFESTS,
    PROCESSES,
    ROOT,
    Manifest,
    container,
    environment,
    name,
    of_kind,
    pod,
    ports,
    read,
    selects,
    ways_out,
)

#: The schemas alone take seconds to import.
pytestmark = pytest.mark.slow

#: Selects the processes that reach the internet.
FETCHING = [
    each["spec"]["podSelector"]
    for each in of_kind("NetworkPolicy")
    if each["metadata"]["name"] == "feeds-are-fetched"
]
each_process = pytest.mark.parametrize("process", PROCESSES, ids=name)


def check(manifest: Manifest) -> None:
    """Raises ValidationError for what the schema of its kind does not know, misses, or has as another type."""
    group, _, version = manifest["apiVersion"].rpartition("/")
    schemas = "keda" if group == "keda.sh" else f"kubernetes.{group.partition('.')[0] or 'core'}"
    model = getattr(importlib.import_module(f"cloudcoil.models.{schemas}.{version}"), manifest["kind"])
    model.model_validate_json(json.dumps(manifest), strict=True, extra="forbid")


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_a_manifest_fits_the_schema_of_its_kind(manifest: Manifest) -> None:
    check(manifest)


@pytest.mark.parametrize(
    ("kind", "place", "wrong"),
    [
        ("Deployment", "spec.template.spec.terminationGracePeriod", 40),
        ("Deployment", "spec.template.spec.containers", None),
        ("Deployment", "spec.selector", None),
        ("Job", "spec.backoffLimit", "8"),
        ("NetworkPolicy", "spec.ports", []),
        ("PodDisruptionBudget", "spec.selector.labels", {}),
        ("ScaledObject", "spec.scaleTargetRef.deployment", "api"),
        ("ScaledObject", "spec.maxReplicaCount", "10"),
        ("ScaledObject", "spec.triggers", None),
        ("TriggerAuthentication", "spec.secretTargetRefs", []),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(kind: str, place: str, wrong: object) -> None:
    if not of_kind(kind):
        pytest.skip("the manifests have none of this kind: there is no worker to scale")
    broken = inner = copy.deepcopy(of_kind(kind)[0])
    *way, last = place.split(".")
    for step in way:
        inner = inner[step]
    inner[last] = wrong
    if wrong is None:
        del inner[last]

    with pytest.raises(ValidationError, match=last):
        check(broken)


@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "keda"], ids=lambda folder: folder.name)
def test_every_manifest_of_a_folder_is_applied(folder: Path) -> None:
    (list_of_them,) = read(folder / "kustomization.yaml")

    assert sorted(list_of_them["resources"]) == sorted(
        file.name for file in folder.glob("*.yaml") if file.name != "kustomization.yaml"
    )


@each_process
def test_a_process_is_not_root_and_can_write_to_nothing_but_its_memory(process: Manifest) -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert user is not None

    assert pod(process)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user[1]),
        "runAsGroup": int(user[2]),
        "fsGroup": int(user[2]),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod(process)["automountServiceAccountToken"] is False
    assert container(process)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container(process)["resources"]["limits"]


@each_process
def test_a_process_is_given_settings_that_there_are_and_secrets_by_file_alone(process: Manifest) -> None:
    given = environment(process)

    assert {variable.removeprefix("MOUSETRAP_").removesuffix("_FILE").lower() for variable in given} <= set(
        entries((ENGINE, *SETTINGS))
    )
    assert [each for each in given if re.search("URL|KEYS", each) and not each.endswith("_FILE")] == []
    mounts = {each["name"]: each["mountPath"] for each in container(process)["volumeMounts"]}
    assert all(
        path.startswith(mounts["secrets"]) for variable, path in given.items() if variable.endswith("_FILE")
    )
    # Kubernetes would set variables for each Service: MOUSETRAP_API_PORT for one with the name mousetrap-api.
    assert pod(process)["enableServiceLinks"] is False


def test_only_the_migration_may_declare() -> None:
    assert {name(each): environment(each).get("MOUSETRAP_DECLARE") for each in PROCESSES} == {
        "Job migrate": None,
        **{name(each): "false" for each in of_kind("Deployment")},
    }


def test_no_secret_is_written_down() -> None:
    assert of_kind("Secret") == []


def test_there_is_a_process_of_each_project() -> None:
    projects = [folder.name.replace("_", "-") for folder in (ROOT / "projects").iterdir() if folder.is_dir()]

    assert sorted(container(each)["image"] for each in PROCESSES) == sorted(
        f"mousetrap-{project}:latest" for project in projects
    )


@pytest.mark.parametrize("process", of_kind("Deployment"), ids=name)
def test_a_process_has_the_time_to_end_in_order_and_is_asked_where_it_answers(process: Manifest) -> None:
    port = re.search(r"MOUSETRAP_HEALTH_PORT=(\d+)", (ROOT / "deploy/Dockerfile").read_text())
    assert port is not None
    (listening,) = container(process)["ports"]
    probes = [probe["httpGet"] for key, probe in container(process).items() if key.endswith("Probe")]

    assert listening["containerPort"] == int(port[1]) == Settings().api_port
    assert {probe["port"] for probe in probes} == {listening["name"]}
    assert {probe["path"] for probe in probes} == {"/health/live", "/health/ready"}
    assert container(process)["livenessProbe"]["httpGet"]["path"] == "/health/live"
    needed = 15 if process["metadata"]["name"] == "api" else Settings().grace_seconds
    assert pod(process)["terminationGracePeriodSeconds"] >= needed + 10


def test_each_deployment_has_a_budget_of_disruptions() -> None:
    selected = [each["spec"]["selector"] for each in of_kind("PodDisruptionBudget")]

    assert selected == [each["spec"]["selector"] for each in of_kind("Deployment")]


@pytest.mark.parametrize("process", of_kind("Deployment"), ids=name)
def test_a_deployment_selects_its_own_pods(process: Manifest) -> None:
    assert process["spec"]["selector"]["matchLabels"] == process["spec"]["template"]["metadata"]["labels"]


def test_the_api_alone_is_reached() -> None:
    (api,) = [each for each in of_kind("Deployment") if each["metadata"]["name"] == "api"]
    (service,) = of_kind("Service")
    open_to = {
        name(each): each["spec"]["podSelector"]
        for each in of_kind("NetworkPolicy")
        if "ingress" in each["spec"]
    }

    assert service["spec"]["selector"] == api["spec"]["selector"]["matchLabels"]
    assert open_to == {"NetworkPolicy api-is-asked": api["spec"]["selector"]}


def test_nothing_goes_out_that_no_policy_names() -> None:
    (closed,) = [
        each["spec"]
        for each in of_kind("NetworkPolicy")
        if "Ingress" in each["spec"]["policyTypes"] and "ingress" not in each["spec"]
    ]

    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert all(way["to"] and way["ports"] for each in PROCESSES for way in ways_out(each))


@each_process
def test_a_process_reaches_the_servers_that_it_has_addresses_of_and_no_others(process: Manifest) -> None:
    has = environment(process)
    wanted = {53}
    wanted |= {5671, 5672} if "MOUSETRAP_BROKER_URL_FILE" in has else set()
    wanted |= {6379} if "MOUSETRAP_STORE_URL_FILE" in has else set()
    wanted |= {5432} if "MOUSETRAP_DATABASE_URL_FILE" in has else set()
    labels = process["spec"]["template"]["metadata"]["labels"]
    wanted |= {80, 443} if any(selects(each, labels) for each in FETCHING) else set()

    assert set().union(*map(ports, ways_out(process))) == wanted


def queues_of(worker: Worker) -> list[str]:
    """The queues that a worker of the catalogue serves, each once."""
    bindings = [load(binder)(Settings()) for binder in worker.binders]
    bindings += discover(worker.modules).bindings if worker.modules else []
    return list(dict.fromkeys(binding.stage.queue for binding in bindings))


def test_each_stage_s_worker_is_scaled_by_what_the_api_reports_of_its_queue() -> None:
    (authentication,) = of_kind("TriggerAuthentication")
    (service,) = of_kind("Service")
    description = create_app(Settings(), PIPELINES).openapi()
    shown = description["components"]["schemas"]["Queue"]["properties"]
    served = {
        worker.program.removeprefix("mousetrap.").replace("_", "-"): queues_of(worker)
        for worker in WORKERS.values()
        if worker.program
    }

    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]["triggers"] for each in of_kind("ScaledObject")
    }

    assert "/queues/{queue}" in description["paths"]
    assert set(scaled) == set(served)
    for worker, triggers in scaled.items():
        paths = [
            (urlsplit(each["metadata"]["url"]).path, each["metadata"]["valueLocation"]) for each in triggers
        ]
        assert sorted(paths) == sorted(
            (f"/queues/{queue}", shown)
            for queue in served[worker]
            for shown in ("oldest_seconds", "ready", "running")
        )
        for trigger in triggers:
            url = urlsplit(trigger["metadata"]["url"])
            assert (url.hostname, url.port) == ("api.mousetrap.svc", service["spec"]["ports"][0]["port"])
            assert shown[trigger["metadata"]["valueLocation"]]["type"] in ("number", "integer")
            assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
