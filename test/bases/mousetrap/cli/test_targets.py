"""A worker lists what it found and what it failed to load."""

import subprocess
import sys
from pathlib import Path

import pytest

from mousetrap.catalogue import WORKERS
from support.processes import base_command, clean_environment

pytestmark = pytest.mark.slow

WORDS = """
from mousetrap.handlers import Binding
from mousetrap.pipeline import Pipeline, Stage

async def count(text: str) -> dict[str, int]:
    return {"words": len(text.split())}

WORDS = Pipeline(
    name="words",
    description="Counts words.",
    stages=(
        Stage(name="count", queue="texts", input=str, output=dict[str, int]),
        Stage(name="keep", queue="counts", input=dict[str, int], output=int),
    ),
)
words = Binding(pipeline=WORDS, stage="count", handler=count)
"""
FOUND = "mousetrap: found words: count (queue texts) -> keep (queue counts, not served here)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of tasks, and a package with a good and a broken module."""
    (tmp_path / "words.py").write_text(WORDS)
    (tmp_path / "half_good").mkdir()
    (tmp_path / "half_good" / "__init__.py").touch()
    (tmp_path / "half_good" / "good.py").write_text(WORDS)
    (tmp_path / "half_good" / "broken.py").write_text("import there_is_no_such_library")
    (tmp_path / "no_tasks.py").touch()
    return tmp_path


def worker(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The command's end."""
    return subprocess.run(
        base_command("cli", "worker", *arguments),
        env=clean_environment(**settings),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("targets", "modules"), [(("words.py",), ""), (("words",), ""), ((), " words , words.py,")]
)
def test_what_targets_have_is_listed(folder: Path, targets: tuple[str, ...], modules: str) -> None:
    done = worker(folder, *targets, "--list", **({"MOUSETRAP_MODULES": modules} if modules else {}))

    assert done.returncode == 0, done.stderr
    assert FOUND in done.stderr.splitlines()


def test_what_could_not_be_loaded_is_listed_with_its_place_and_the_rest_is_served(folder: Path) -> None:
    done = worker(folder, "half_good", "--list")

    assert done.returncode == 0
    assert FOUND in done.stderr.splitlines()
    assert (
        f"mousetrap: not loaded: half_good.broken ({folder}/half_good/broken.py:1): "
        "ModuleNotFoundError: No module named 'there_is_no_such_library'; install there_is_no_such_library for "
    ) in done.stderr


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("half_good/broken.py", "nothing was done, for half_good/broken.py could not be loaded"),
        (
            "nonsense",
            f"nothing was done, for nonsense could not be loaded; the catalogue has the workers {', '.join(WORKERS)}",
        ),
        ("no_tasks.py", "there is no task, chain or binding in no_tasks.py: nothing to serve"),
    ],
)
def test_a_target_that_cannot_be_served_ends_it_with_2(folder: Path, target: str, text: str) -> None:
    done = worker(folder, "words.py", target) if "nothing was done" in text else worker(folder, target)

    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.servers
def test_a_worker_serves_targets_and_the_catalogue_together(folder: Path, store_url: str) -> None:
    done = worker(
        folder,
        "words.py",
        "process",
        "--burst",
        MOUSETRAP_BROKER_URL=store_url,
        MOUSETRAP_STORE_URL=store_url,
    )

    assert done.returncode == 0, done.stderr
    assert "serving data_processing, feeds_compare, feeds_count, feeds_report, texts" in done.stderr


def test_the_command_takes_no_file_of_the_folder_for_python_s_own_library(folder: Path) -> None:
    (folder / "email.py").write_text("raise RuntimeError('this file was imported')")
    made_by = (Path(__file__).parents[4] / "tools/environment").read_text()

    done = subprocess.run(
        [sys.executable, "-P", "-m", "mousetrap.cli", "worker", "words.py", "--list"],
        env=clean_environment(),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr.strip()) == (0, FOUND)
    assert r"python\" -P -m mousetrap.$base" in made_by  # so does the command of a checkout start
