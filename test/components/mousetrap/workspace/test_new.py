"""Tests what new tasks, pipelines and workers consist of."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from mousetrap.api_client import Misused
from mousetrap.workspace import Edits, add_pipeline, add_task, add_worker, find_workspace, first_edits
from mousetrap.workspace.templates import filled

ROOT = Path(__file__).parents[4]


def test_a_task_is_a_component_a_test_and_a_line_in_the_catalogue(workspace: Path) -> None:
    edits = Edits(workspace)
    add_task(edits, "words")

    assert [change.path for change in edits.changes if change.kind == "new"] == [
        "components/mousetrap/words/README.md",
        "components/mousetrap/words/__init__.py",
        "components/mousetrap/words/contracts.py",
        "components/mousetrap/words/tasks.py",
        "test/components/mousetrap/words/test_words.py",
    ]
    assert [change.path for change in edits.changes if change.kind == "changed"] == [
        "components/mousetrap/catalogue/catalogue.py",
        "projects/cli/pyproject.toml",
        "pyproject.toml",
    ]
    assert '    "words": Worker(modules=("mousetrap.words",)),\n' in edits.read(
        "components/mousetrap/catalogue/catalogue.py"
    )


def test_a_pipeline_hands_each_stage_s_result_to_the_next(workspace: Path) -> None:
    edits = Edits(workspace)
    add_pipeline(edits, "corpus", ["find", "read", "count"])

    tasks = edits.read("components/mousetrap/corpus/tasks.py")
    assert re.findall(r"def (\w+)\(given: (\w+)\) -> (\w+)", tasks) == [
        ("find", "CorpusInput", "FindOutput"),
        ("read", "FindOutput", "ReadOutput"),
        ("count", "ReadOutput", "CountOutput"),
    ]
    assert re.findall(r'queue="(\w+)"', tasks) == ["corpus_find", "corpus_read", "corpus_count"]
    assert tasks.endswith('\ncorpus = chain("corpus", find, read, count)\n')


def test_a_worker_s_deployable_is_what_those_of_the_others_are(workspace: Path) -> None:
    edits = Edits(workspace)
    add_pipeline(edits, "corpus", ["find", "read"])
    edits.apply()
    edits = Edits(workspace)
    add_worker(edits, "corpus")

    folder = "deploy/kubernetes"
    services = yaml.safe_load(edits.read("deploy/compose.yml"))["services"]
    assert services["corpus_worker"]["image"] == "mousetrap-corpus-worker:${TAG:-latest}"
    assert set(services["corpus_worker"]) == set(services["fetch_worker"])
    for overlay in ("tls", "metrics"):
        assert "corpus_worker" in yaml.safe_load(edits.read(f"deploy/{overlay}.yml"))["services"]
    for path in (folder, f"{folder}/keda"):
        assert "corpus_worker.yaml" in yaml.safe_load(edits.read(f"{path}/kustomization.yaml"))["resources"]
    triggers = yaml.safe_load(edits.read(f"{folder}/keda/corpus_worker.yaml"))["spec"]["triggers"]
    assert [each["metadata"]["url"].rpartition("/")[2] for each in triggers] == [
        *["corpus_find"] * 3,
        *["corpus_read"] * 3,
    ]
    assert edits.exists("requirements/corpus_worker.txt") and edits.exists(
        "projects/corpus_worker/poetry.lock"
    )
    assert 'program="mousetrap.corpus_worker"' in edits.read("components/mousetrap/catalogue/catalogue.py")


def test_the_manifest_s_template_is_the_example_s_manifest() -> None:
    words = {"dashed": "fetch-worker", "program": "mousetrap-fetch-worker"}

    assert (
        filled("worker/kubernetes.yaml", **words)
        == (ROOT / "deploy/kubernetes/fetch_worker.yaml").read_text()
    )


def test_a_worker_of_a_new_name_gets_a_task_first(workspace: Path) -> None:
    edits = Edits(workspace)
    add_worker(edits, "words")

    assert edits.exists("components/mousetrap/words/tasks.py")
    assert edits.exists("bases/mousetrap/words_worker/main.py")


def test_what_is_there_already_is_refused(workspace: Path) -> None:
    edits = Edits(workspace)
    for taken in ("jobs", "cli", "fetch_data"):
        with pytest.raises(Misused, match=f"a brick '{taken}' already"):
            add_task(edits, taken)
    with pytest.raises(Misused, match=r"its own process already: mousetrap\.fetch_worker"):
        add_worker(edits, "fetch")
    assert edits.changes == []


def test_a_stage_that_another_brick_has_is_refused(workspace: Path) -> None:
    edits = Edits(workspace)
    add_pipeline(edits, "corpus", ["find", "count"])

    with pytest.raises(Misused, match="components/mousetrap/corpus has a task 'count' already"):
        add_pipeline(edits, "library", ["sort", "count"])


def test_a_rest_of_an_earlier_try_is_refused_with_its_path(workspace: Path) -> None:
    rest = workspace / "test/components/mousetrap/words/test_words.py"
    rest.parent.mkdir(parents=True)
    rest.write_text("")

    with pytest.raises(Misused, match=r"test/components/mousetrap/words/test_words\.py is there already"):
        add_task(Edits(workspace), "words")


def test_a_worker_that_is_not_of_one_component_is_written_by_hand(workspace: Path) -> None:
    catalogue = workspace / "components/mousetrap/catalogue/catalogue.py"
    text = catalogue.read_text()
    catalogue.write_text(
        text.replace('"fetch": Worker(', '"both": Worker(modules=("a", "b")),\n    "fetch": Worker(')
    )

    with pytest.raises(Misused, match="write its base by hand"):
        add_worker(Edits(workspace), "both")


def test_the_lines_to_replace_are_named_until_they_are_replaced(workspace: Path) -> None:
    edits = Edits(workspace)
    add_task(edits, "words")

    places = first_edits(edits, "words")

    tasks = "components/mousetrap/words/tasks.py"
    number = next(
        at for at, line in enumerate(edits.read(tasks).split("\n"), 1) if "return WordsOutput(" in line
    )
    assert f"{tasks}:{number}  what the task does" in places
    edits.replace(tasks, edits.read(tasks).replace("text=given.text", "text=given.text.upper()"))
    assert first_edits(edits, "words") == [place for place in places if not place.startswith(tasks)]


def test_a_workspace_is_found_from_below_and_missed_with_advice(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert find_workspace(workspace / "components/mousetrap/jobs") == workspace
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with pytest.raises(Misused, match="is in no workspace: this command writes files of a checkout"):
        find_workspace(elsewhere)
    shutil.copy(workspace / "pyproject.toml", elsewhere / "workspace.toml")
    with pytest.raises(Misused, match="is in no workspace"):
        find_workspace(elsewhere)
