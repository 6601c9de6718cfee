"""Tests the engine without the example: with no pipeline, and with another."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from support.checkout import Checkout
from support.other_workspace import EXAMPLE, OtherWorkspace, Tree
from support.processes import Process

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.servers]

_DOOR = '"""{sentence}"""\n\n{imports}\n\n__all__ = [{names}]\n'

_CATALOGUE = '''"""The catalogue of words."""

from collections.abc import Mapping, Sequence
from typing import Any

from mousetrap.catalogue_entries import Worker
from mousetrap.pipeline import Pipeline
from mousetrap.settings import Group

PIPELINES: Mapping[str, Pipeline] = {}
SETTINGS: Sequence[Group[Any]] = ()
WORKERS: Mapping[str, Worker] = {}
INPUTS: Mapping[str, str] = {}
ROOT_PIPELINE: str | None = None
RECORDS: Mapping[str, str] = {}
RENDERERS: Mapping[str, str] = {}
MIGRATIONS: Mapping[str, str] = {}
SAMPLE: str | None = None
SCHEDULES: Sequence[str] = ()

__all__ = ["INPUTS", "MIGRATIONS", "PIPELINES", "RECORDS", "RENDERERS", "ROOT_PIPELINE", "SAMPLE", "SCHEDULES", "SETTINGS", "WORKERS"]
'''

#: Five steps of a text's way, each a handler of one line.
_STEPS = {
    "strip": "text.strip()",
    "lower": "text.lower()",
    "reverse": "text[::-1]",
    "repeat": "text * settings.of(WORDS_SETTINGS).times",
    "mark": 'text + "!"',
}

_OTHER_BRICKS = {
    "components/mousetrap/words/__init__.py": f'''"""A pipeline of five stages, and its settings."""

from mousetrap.pipeline import Pipeline, Stage
from mousetrap.settings import Group, SettingsGroup


class WordsSettings(SettingsGroup, frozen=True, kw_only=True):
    """MOUSETRAP_WORDS_…"""

    times: int = 1


WORDS_SETTINGS = Group("words", WordsSettings)
WORDS = Pipeline(
    name="words",
    description="Changes a text five times.",
    stages=tuple(
        Stage(name=name, queue=f"words_{{name}}", input=str, output=str) for name in {list(_STEPS)}
    ),
)

__all__ = ["WORDS", "WORDS_SETTINGS"]
''',
    "components/mousetrap/run_words/__init__.py": '''"""Binds the stages of words."""

from mousetrap.handlers import Binding
from mousetrap.settings import Settings
from mousetrap.words import WORDS, WORDS_SETTINGS

'''
    + "".join(
        f'''
def bind_{name}(settings: Settings) -> Binding:
    """The stage `{name}`."""

    def {name}(text: str) -> str:
        return {result}

    return Binding(pipeline=WORDS, stage="{name}", handler={name})

'''
        for name, result in _STEPS.items()
    )
    + f"\n__all__ = [{', '.join(f'{chr(34)}bind_{name}{chr(34)}' for name in sorted(_STEPS))}]\n",
    "components/mousetrap/catalogue/__init__.py": _CATALOGUE.replace(
        "from mousetrap.settings import Group\n",
        "from mousetrap.settings import Group\nfrom mousetrap.words import WORDS, WORDS_SETTINGS\n",
    )
    .replace("Pipeline] = {}", 'Pipeline] = {"words": WORDS}')
    .replace("Group[Any]] = ()", "Group[Any]] = (WORDS_SETTINGS,)")
    .replace(
        "Worker] = {}",
        'Worker] = {\n    name: Worker(f"mousetrap.run_words:bind_{name}", f"mousetrap.{name}_worker")\n'
        f"    for name in {list(_STEPS)}\n}}",
    ),
}
for _name in _STEPS:
    _base = f"bases/mousetrap/{_name}_worker"
    _OTHER_BRICKS |= {
        f"{_base}/__init__.py": f'''"""The worker of the stage {_name}."""

from mousetrap.{_name}_worker.main import main

__all__ = ["main"]
''',
        f"{_base}/__main__.py": f'''"""Runs it."""

import sys

from mousetrap.{_name}_worker import main

sys.exit(main())
''',
        f"{_base}/main.py": f'''"""Starts it."""

from mousetrap.catalogue import SETTINGS
from mousetrap.job_queue import open_queue
from mousetrap.run_words import bind_{_name}
from mousetrap.serve_worker import worker_main


def main() -> int:
    """Returns the exit code."""
    return worker_main(open_queue, [bind_{_name}], "{_name}", "Serves `{_name}`.", SETTINGS)
''',
    }

#: Tests of what the command changes, without those that start programs: all that is left takes minutes, and `make test` runs it in
#: the changed checkout.
_CODE = ("bases", "components", "test", "development")
_LEFT = (
    "test/architecture",
    "test/docs",
    "test/deploy",
    "test/bases/mousetrap/cli",
    "test/components/mousetrap/catalogue",
    "test/components/mousetrap/local_stack",
)

_PLACES = {
    "earthquakes_settings": ["words"],
    "run_fetch_worker": ["run_words"],
    "fetch_worker": [f"{name}_worker" for name in _STEPS],
}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """This workspace, from which the example was removed as a user does it."""
    checkout = Checkout(tmp_path_factory.mktemp("empty"))
    done = checkout.run("mousetrap.cli", "remove", "example", "--yes")
    assert done.returncode == 0, done.stderr
    return checkout


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> OtherWorkspace:
    """The engine with a pipeline of five stages, each with a worker of its own."""
    return OtherWorkspace(tmp_path_factory.mktemp("words"), _OTHER_BRICKS, _PLACES)


@pytest.fixture(params=["empty", "words"])
def workspace(request: pytest.FixtureRequest) -> Tree:
    """Either of them."""
    found: Tree = request.getfixturevalue(request.param)
    return found


@contextmanager
def up(workspace: Tree, **variables: str) -> Iterator[tuple[Process, httpx.Client]]:
    """Runs the stack, and gives a client of its API."""
    with workspace.start("mousetrap.cli", "up", MOUSETRAP_API_PORT="0", **variables) as stack:
        line = stack.wait_for_line("The API is at", 60)
        found = re.search(r"http://[^ ,]+", line)
        assert found
        stack.wait_for_line("mousetrap worker")
        with httpx.Client(base_url=found[0], timeout=60) as api:
            yield stack, api
        assert stack.terminate(60) == 0, stack.output


def test_all_bricks_can_be_imported_and_none_is_the_example_s(workspace: Tree) -> None:
    modules = workspace.modules()
    (workspace.folder / "import_all.py").write_text(
        "import importlib, sys\n"
        f"for name in {modules}:\n    importlib.import_module(name)\n"
        "print(*sys.modules)\n"
    )

    done = workspace.run("import_all")

    assert done.returncode == 0, done.stderr
    assert len(modules) > 200
    loaded = {name.split(".")[1] for name in done.stdout.split() if name.startswith("mousetrap.")}
    assert loaded & EXAMPLE == set()


def test_the_borders_between_bricks_hold(workspace: Tree) -> None:
    (workspace.folder / "lint_imports.py").write_text(
        "from importlinter.cli import lint_imports_command\nlint_imports_command()\n"
    )

    done = workspace.run("lint_imports", "--no-cache")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_the_linter_finds_nothing(workspace: Tree) -> None:
    done = workspace.run("ruff", "check", "--no-cache", "bases", "components")

    assert done.returncode == 0, done.stdout


@pytest.mark.long
def test_the_type_checker_finds_nothing(words: OtherWorkspace) -> None:
    words.reuse_types()
    done = words.run("mypy", "bases", "components", seconds=240)

    assert done.returncode == 0, done.stdout


def test_nothing_but_prose_names_the_example_and_the_command_lists_it(empty: Checkout) -> None:
    # The word `earthquakes` stays as an example in descriptions of the API.
    named = re.compile(rf"\b({'|'.join(EXAMPLE - {'earthquakes'})})\b")
    files = [
        file
        for kind in ("bases", "components", "projects", "deploy", "requirements", "pyproject.toml")
        for file in (
            (empty.folder / kind).rglob("*") if (empty.folder / kind).is_dir() else [empty.folder / kind]
        )
        if file.suffix in (".py", ".toml", ".yml", ".yaml", ".txt")
    ]

    assert [
        str(file) for file in files if file.name != "example_tests.py" and named.search(file.read_text())
    ] == []


def test_all_that_is_left_is_formatted_and_its_tests_are_found(empty: Checkout) -> None:
    checked = empty.run("ruff", "check", "--no-cache", *_CODE)
    formatted = empty.run("ruff", "format", "--check", "--no-cache", *_CODE)
    collected = empty.run(
        "pytest", "--collect-only", "--quiet", "test", "-p", "no:cacheprovider", seconds=240
    )

    assert checked.returncode == formatted.returncode == 0, checked.stdout + formatted.stdout
    assert collected.returncode == 0, collected.stdout


def test_the_tests_that_are_left_pass(empty: Checkout) -> None:
    tested = empty.run(
        "pytest", "--quiet", *_LEFT, "-p", "no:cacheprovider", "-m", "not servers and not slow", seconds=240
    )

    assert tested.returncode == 0, tested.stdout


def test_a_workspace_of_ones_own_takes_a_worker_and_a_newer_engine(tmp_path: Path) -> None:
    mine = Checkout(tmp_path)
    theirs = mine.branch()
    removed = mine.run("mousetrap.cli", "remove", "example", "--yes")
    added = mine.run("mousetrap.cli", "new", "worker", "words")
    mine.commit()

    mine.change_in(theirs, "components/mousetrap/jobs/job.py", "# newer\n")
    mine.merge(theirs)

    assert (removed.returncode, added.returncode) == (0, 0), removed.stderr + added.stderr
    assert (mine.folder / "components/mousetrap/jobs/job.py").read_text().endswith("# newer\n")
    assert not (mine.folder / "components/mousetrap/fetch_data").exists()
    assert (mine.folder / "components/mousetrap/words/tasks.py").exists()


def test_an_empty_catalogue_starts_the_api_and_the_command_line(empty: Checkout) -> None:
    helped = empty.run("mousetrap.cli", "--help")
    with up(empty) as (_, api):
        checked = empty.run("mousetrap.cli", "doctor")

        assert api.get("/pipelines").json() == []
        assert api.get("/").status_code == api.post("/refresh").status_code == 404
        assert api.get("/openapi.json").status_code == 200
    demo = empty.run("mousetrap.cli", "demo")
    worker = empty.run("mousetrap.cli", "worker", "fetch")

    assert helped.returncode == 0, helped.stderr
    assert checked.returncode == 0, checked.stdout
    assert (demo.returncode, worker.returncode) == (2, 2)
    assert "SAMPLE" in demo.stderr


@pytest.mark.long
def test_a_fourth_and_a_fifth_worker_of_another_catalogue_do_jobs(words: OtherWorkspace) -> None:
    with up(words, MOUSETRAP_WORDS_TIMES="2") as (stack, _):
        run = words.run("mousetrap.cli", "run", "words", "--input", '"  Straw "', "--json")
        checked = words.run("mousetrap.cli", "doctor")
        one_more = words.run("mousetrap.cli", "worker", *_STEPS, "--burst")

    assert run.returncode == 0, run.stderr
    assert '"wartswarts!"' in run.stdout
    assert checked.returncode == 0, checked.stdout
    assert "5 live, every queue is served" in " ".join(checked.stdout.split())
    assert one_more.returncode == 0, one_more.stderr
    assert stack.output.count("all work finished") == len(_STEPS)


def test_a_setting_of_another_brick_is_checked_by_every_process(words: OtherWorkspace) -> None:
    for program in ("mousetrap.api", "mousetrap.strip_worker"):
        wrong = words.run(program, MOUSETRAP_WORDS_TIMES="many", MOUSETRAP_WORDS_TIME="2")
        assert wrong.returncode == 2
        assert wrong.stderr == "MOUSETRAP_WORDS_TIME: there is no such setting: write MOUSETRAP_WORDS_TIMES\n"

    wrong = words.run("mousetrap.cli", "migrate", MOUSETRAP_WORDS_TIMES="many")
    assert wrong.returncode == 2
    assert "MOUSETRAP_WORDS_TIMES: write a whole number" in wrong.stderr
