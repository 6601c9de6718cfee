"""Tests bills of materials, advisories and pinned images."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PROJECTS = sorted(folder.name for folder in (ROOT / "projects").iterdir() if folder.is_dir())
_LOCKED = re.compile(r"^([^ =]+)==([^ ]+)", re.MULTILINE)


def run(*command: str | Path, **settings: str) -> tuple[int, str]:
    """The exit code, and the output."""
    done = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **settings},
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("project", _PROJECTS)
def test_a_bill_of_materials_names_each_library_that_is_installed_with_its_hashes(project: str) -> None:
    code, output = run(sys.executable, ROOT / "tools/sbom", ROOT / "projects" / project)
    bill = json.loads(output)
    exported = (ROOT / "requirements" / f"{project}.txt").read_text()

    assert code == 0
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["component"]["name"] == f"mousetrap-{project.replace('_', '-')}"
    named = {(each["name"], each["version"]) for each in bill["components"]}
    assert set(_LOCKED.findall(re.sub(r"\[.*?\]==", "==", exported))) <= named
    assert {each["content"] for component in bill["components"] for each in component["hashes"]} >= set(
        re.findall(r"sha256:([0-9a-f]{64})", exported)
    )
    references = [each["bom-ref"] for each in bill["components"]]
    assert len(set(references)) == len(references)
    assert bill["dependencies"] == [
        {"ref": bill["metadata"]["component"]["name"], "dependsOn": sorted(references)}
    ]


_BRICK = ROOT / "bases/mousetrap/dashboard"
_COPIED = tomllib.loads((_BRICK / "vendor.toml").read_text())["package"]


def test_what_is_committed_of_other_projects_is_what_is_listed_with_its_licence() -> None:
    files = {each["as"]: each["sha256"] for package in _COPIED for each in package["file"]}

    committed = [path for path in (_BRICK / "static/vendor").rglob("*") if path.is_file()]

    assert files == {
        path.relative_to(_BRICK).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in committed
    }
    for package in _COPIED:
        assert package["licence"]
        assert any("LICENSE" in each["as"] for each in package["file"])


@pytest.mark.parametrize("project", ["api", "cli"])
def test_a_bill_of_materials_names_what_is_committed_of_other_projects(project: str) -> None:
    _, output = run(sys.executable, ROOT / "tools/sbom", ROOT / "projects" / project)
    named = {each["purl"]: each for each in json.loads(output)["components"]}

    for package in _COPIED:
        listed = named[f"pkg:npm/{package['name']}@{package['version']}"]
        assert {each["content"] for each in listed["hashes"]} == {each["sha256"] for each in package["file"]}


@pytest.fixture
def npm(tmp_path: Path) -> Path:
    """An npm that packs what is in the folder `package` beside it."""
    program = tmp_path / "bin/npm"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntar -czf packed.tgz -C {tmp_path} package && echo packed.tgz\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("found", ["as listed", "another"])
def test_a_file_of_another_project_is_copied_only_with_its_hash(
    npm: Path, tmp_path: Path, found: str
) -> None:
    (tmp_path / "package").mkdir()
    for name in ("first.js", "second.js"):
        (tmp_path / "package" / name).write_text("as listed")
    (tmp_path / "package/second.js").write_text(found)
    digest = hashlib.sha256(b"as listed").hexdigest()
    files = "".join(
        f'[[package.file]]\npath = "{name}"\nas = "{name}"\nsha256 = "{digest}"\n'
        for name in ("first.js", "second.js")
    )
    (tmp_path / "vendor.toml").write_text(f'[[package]]\nname = "p"\nversion = "1"\n{files}')

    code, output = run(
        sys.executable, ROOT / "tools/vendor", tmp_path, PATH=f"{npm.parent}:{os.environ['PATH']}"
    )

    assert code == (found != "as listed"), output
    copied = [name for name in ("first.js", "second.js") if (tmp_path / name).exists()]
    assert copied == (["first.js", "second.js"] if found == "as listed" else [])
    assert ("second.js with another hash" in output) is (found != "as listed")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with the tools alone, whose pip-audit prints the file `report`."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/.env.example", tmp_path / "deploy")
    program = tmp_path / ".audit/bin/pip-audit"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/report\ntest -s {tmp_path}/report\n")
    program.chmod(0o755)
    (tmp_path / ".audit/.made").touch()
    return tmp_path


def audited(workspace: Path, *libraries: Mapping[str, object]) -> tuple[int, str]:
    (workspace / "report").write_text(json.dumps({"dependencies": libraries, "fixes": []}))
    return run(sys.executable, workspace / "tools/audit")


_GOOD = {"name": "good", "version": "1", "vulns": []}
_BAD = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"], "aliases": []}]}
_SKIPPED = {"name": "unseen", "skip_reason": "not found"}


def test_an_advisory_fails_and_is_named(workspace: Path) -> None:
    code, output = audited(workspace, _GOOD, _BAD)

    assert code == 1
    assert "bad 2: PYSEC-1, fixed in 3" in output
    assert "*** NOT AUDITED" not in output


def test_no_advisory_passes(workspace: Path) -> None:
    code, output = audited(workspace, _GOOD)

    assert code == 0
    assert "1 libraries asked about, 0 advisories" in output
    assert "*** NOT AUDITED" not in output


def test_what_nothing_is_known_of_is_reported_loudly(workspace: Path) -> None:
    code, output = audited(workspace, _GOOD, _SKIPPED)

    assert code == 0
    assert "*** NOT AUDITED" in output
    assert "unseen" in output


def test_advisories_that_cannot_be_had_are_no_good_news(workspace: Path) -> None:
    (workspace / "report").touch()

    code, output = run(sys.executable, workspace / "tools/audit")

    assert code == 0
    assert "*** NOT AUDITED" in output


_DIGEST = f"sha256:{'0123456789abcdef' * 4}"


def test_tags_that_are_not_pinned_are_reported_loudly_until_they_are_pinned(workspace: Path) -> None:
    docker = workspace / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\necho "$*" >> {workspace}/asked\necho {_DIGEST}\n')
    docker.chmod(0o755)
    path = f"{docker.parent}:{os.environ['PATH']}"
    settings = workspace / "deploy/.env"
    settings.write_text("API_PORT=9\nVALKEY_IMAGE=valkey/valkey:9@sha256:old\n")

    _, loose = run(workspace / "tools/pin-images", "--check")
    code, output = run(workspace / "tools/pin-images", PATH=path)
    _, pinned = run(workspace / "tools/pin-images", "--check")

    assert "*** NOT PINNED" in loose
    assert "PYTHON_IMAGE=python:3.12-slim" in loose
    assert code == 0, output
    assert pinned == ""
    assert settings.read_text().startswith("API_PORT=9\n")
    assert f"VALKEY_IMAGE=valkey/valkey:9@{_DIGEST}\n" in settings.read_text()
    images = len(re.findall(r"^#\w+_IMAGE=", (ROOT / "deploy/.env.example").read_text(), re.MULTILINE))
    assert images >= 4
    assert settings.read_text().count("_IMAGE=") == images
    assert (workspace / "asked").read_text().count("imagetools inspect") == images


def test_an_answer_that_is_no_digest_pins_nothing(workspace: Path) -> None:
    docker = workspace / "bin/docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\necho no such image\n")
    docker.chmod(0o755)

    code, output = run(workspace / "tools/pin-images", PATH=f"{docker.parent}:{os.environ['PATH']}")

    assert code == 1
    assert "gave no digest" in output
    assert (workspace / "deploy/.env").read_text() == ""


def test_what_can_be_pinned_is_all_that_the_stack_builds_on_and_runs() -> None:
    shown = set(re.findall(r"^#(\w+_IMAGE=.*)$", (ROOT / "deploy/.env.example").read_text(), re.MULTILINE))
    files = [*(ROOT / "deploy").glob("*.yml")]
    used = {
        f"{name}={image}"
        for file in files
        for name, image in re.findall(r"\$\{(\w+_IMAGE):-([^}]+)\}", file.read_text())
    }
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()

    assert used == shown
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert f"PYTHON_IMAGE={re.findall(r'^ARG PYTHON_IMAGE=(.*)$', dockerfile, re.MULTILINE)[0]}" in shown
    ours = re.compile(r"^ *image: (?!mousetrap-|\$\{)", re.MULTILINE)
    assert not any(ours.search(file.read_text()) for file in files)
