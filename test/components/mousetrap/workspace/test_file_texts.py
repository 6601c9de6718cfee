"""Tests that lines are added where they belong, and nowhere else."""

import tomllib
from pathlib import Path

import pytest

from mousetrap.api_client import Misused
from mousetrap.workspace.catalogue_text import modules_of, program_of, with_worker, workers_in
from mousetrap.workspace.toml_text import with_entry, with_importer, with_layer, with_sibling
from mousetrap.workspace.yaml_text import before_service, with_line, with_name

ROOT = Path(__file__).parents[4]
_TOML = (ROOT / "pyproject.toml").read_text()

_EMPTY = "WORKERS: Mapping[str, Worker] = {}\nINPUTS = {}\n"
_FILLED = 'WORKERS: Mapping[str, Worker] = {\n    "one": Worker("a:b", "c"),  # first\n}\nINPUTS = {}\n'


def test_a_brick_comes_before_the_first_that_is_greater() -> None:
    text = with_entry(_TOML, "tool.polylith.bricks", "components/mousetrap/jobs2", "mousetrap/jobs2")

    lines = text.split("\n")
    place = lines.index('"components/mousetrap/jobs2" = "mousetrap/jobs2"')
    assert lines[place - 1] == '"components/mousetrap/jobs" = "mousetrap/jobs"'
    assert [line for line in lines if line not in _TOML.split("\n")] == [lines[place]]


def test_what_is_there_is_not_added_again() -> None:
    once = with_layer(_TOML, "words", below="job_queue")
    once = with_sibling(once, "words_worker", beside="api")
    once = with_importer(once, "mousetrap.catalogue", "mousetrap.words_worker")
    once = with_entry(once, "project.scripts", "mousetrap-words-worker", "mousetrap.words_worker:main")

    again = with_layer(once, "words", below="job_queue")
    again = with_sibling(again, "words_worker", beside="api")
    again = with_importer(again, "mousetrap.catalogue", "mousetrap.words_worker")

    assert (
        with_entry(again, "project.scripts", "mousetrap-words-worker", "mousetrap.words_worker:main") == once
    )
    contracts = tomllib.loads(once)["tool"]["importlinter"]["contracts"]
    layers = contracts[0]["layers"]
    assert layers[layers.index("job_queue") + 1] == "words"
    (beside,) = (each for each in (layer.split(" | ") for layer in layers) if "words_worker" in each)
    assert "api" in beside
    (catalogue,) = [each for each in contracts if each.get("protected_modules") == ["mousetrap.catalogue"]]
    assert "mousetrap.words_worker" in catalogue["allowed_importers"]


def test_a_file_of_another_form_is_refused_and_not_guessed_at() -> None:
    with pytest.raises(Misused, match="has no line with"):
        with_layer(_TOML, "words", below="no_such_layer")
    with pytest.raises(Misused, match="another form"):
        with_entry('[a.b]\nc = """\nd\n"""\n', "a.b", "c0", "x")
    with pytest.raises(Misused, match="WORKERS is to be one dict"):
        with_worker("WORKERS = make()\n", "words", "mousetrap.words")
    with pytest.raises(Misused, match="no line"):
        before_service("services:\n", "migrate", "  words:\n")
    with pytest.raises(Misused, match="no line"):
        with_name("values: [api]\n", "words", before="migrate")


@pytest.mark.parametrize("text", [_EMPTY, _FILLED])
def test_a_worker_is_listed_once_with_its_program_when_it_has_one(text: str) -> None:
    listed = with_worker(text, "words", "mousetrap.words")
    deployed = with_worker(listed, "words", "mousetrap.words", "mousetrap.words_worker")

    assert workers_in(listed) == workers_in(deployed) == [*workers_in(text), "words"]
    assert modules_of(deployed, "words") == ("mousetrap.words",)
    assert (program_of(listed, "words"), program_of(deployed, "words")) == (None, "mousetrap.words_worker")
    assert deployed.endswith("}\nINPUTS = {}\n")
    assert "# first" in deployed or text is _EMPTY


def test_a_service_comes_before_another_and_its_comment() -> None:
    text = "services:\n  api: {}\n\n  # Makes tables.\n  migrate:\n    x: 1\n"

    assert before_service(text, "migrate", "  words: {}\n\n") == (
        "services:\n  api: {}\n\n  words: {}\n\n  # Makes tables.\n  migrate:\n    x: 1\n"
    )


def test_a_line_and_a_name_are_added_once() -> None:
    text = "  - api.yaml\n# values: [api, fetch, migrate]\n"

    once = with_name(with_line(text, "  - words.yaml", after="  - api.yaml"), "words", before="migrate")

    assert once == "  - api.yaml\n  - words.yaml\n# values: [api, fetch, words, migrate]\n"
    assert (
        with_name(with_line(once, "  - words.yaml", after="  - api.yaml"), "words", before="migrate") == once
    )
