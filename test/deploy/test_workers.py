"""Tests that all lists of workers are the catalogue's."""

import re
import tomllib

import yaml

from mousetrap import catalogue
from support.manifests import FOLDER, ROOT

#: The bases of the workers that are deployed each alone.
BASES = sorted(
    worker.program.removeprefix("mousetrap.") for worker in catalogue.WORKERS.values() if worker.program
)


def test_each_worker_with_a_program_has_a_project_and_locked_requirements() -> None:
    projects = {folder.name for folder in (ROOT / "projects").iterdir() if folder.is_dir()}
    requirements = {file.stem for file in (ROOT / "requirements").glob("*.txt")}

    assert projects == {"api", "cli", *BASES}
    assert requirements == {"run", "develop", "build", "docs", "notebook", *projects}


def test_each_worker_with_a_program_has_a_script() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]

    assert {name: place for name, place in scripts.items() if name.endswith("-worker")} == {
        f"mousetrap-{base.replace('_', '-')}": f"mousetrap.{base}:main" for base in BASES
    }


def test_each_worker_with_a_program_has_a_service_with_tls_and_with_metrics() -> None:
    services = yaml.safe_load((ROOT / "deploy/compose.yml").read_text())["services"]
    tls, metrics = (
        yaml.safe_load((ROOT / f"deploy/{name}.yml").read_text())["services"] for name in ("tls", "metrics")
    )

    assert sorted(name for name in services if name.endswith("_worker")) == BASES
    assert sorted(name for name in tls if name.endswith("_worker")) == BASES
    assert sorted(name for name in metrics if name.endswith("_worker")) == BASES
    for base in BASES:
        assert services[base]["build"]["args"]["PROJECT"] == base
        assert services[base]["image"] == f"mousetrap-{base.replace('_', '-')}:${{TAG:-latest}}"


def test_each_worker_with_a_program_has_manifests() -> None:
    for folder in (FOLDER, FOLDER / "keda"):
        assert sorted(file.stem for file in folder.glob("*_worker.yaml")) == BASES


def test_only_workers_and_edges_are_bases_that_run() -> None:
    programs = {file.parent.name for file in ROOT.glob("bases/mousetrap/*/__main__.py")}

    assert programs == {"api", "cli", *BASES}


def test_every_name_of_a_worker_can_be_a_brick_s() -> None:
    assert [name for name in catalogue.WORKERS if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []
