"""Everything that targets name is loaded, and failures are facts."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mousetrap.discovery import Discovered, discover

Write = Callable[[str, str], Path]


def names(discovered: Discovered) -> list[str]:
    """The names of the pipelines that were found."""
    return sorted(discovered.pipelines)


def test_a_file_is_loaded_with_what_it_imports_beside_it(write: Write, tmp_path: Path) -> None:
    write("d1/other_one.py", "other = bind('other')")
    write("d1/words_one.py", "from other_one import other\nwords = bind('words')")

    discovered = discover(["d1/words_one.py"], tmp_path)

    assert names(discovered) == ["other", "words"]
    assert discovered.failures == ()


def test_a_package_is_loaded_with_all_its_modules_but_programs_and_tests(
    write: Write, tmp_path: Path
) -> None:
    write("pack_one/__init__.py", "top = bind('top')")
    write("pack_one/inner/__init__.py", "")
    write("pack_one/inner/deep.py", "deep = bind('deep')")
    write("pack_one/__main__.py", "raise SystemExit(3)")
    write("pack_one/test_inner.py", "raise SystemExit(3)")
    write("pack_one/tests/__init__.py", "raise SystemExit(3)")

    for target in ("pack_one", "pack_one/", "./pack_one/__init__.py"):
        assert names(discover([target], tmp_path)) == ["deep", "top"], target


def test_a_folder_that_is_no_package_is_loaded_as_its_files_are(write: Write, tmp_path: Path) -> None:
    write("loose/one_loose.py", "import two_loose\none = bind('one')")
    write("loose/two_loose.py", "two = bind('two')")

    assert names(discover(["loose/"], tmp_path)) == ["one", "two"]


def test_a_file_of_a_package_has_its_whole_name(write: Write, tmp_path: Path) -> None:
    write("pack_two/__init__.py", "")
    write("pack_two/shared.py", "shared = bind('shared')")
    write("pack_two/words.py", "from .shared import shared")

    discovered = discover([str(tmp_path / "pack_two/words.py")], tmp_path)

    assert [found.name for found in discovered.found] == ["pack_two.words.shared"]


SCHEDULES = """
from mousetrap.schedules import Schedule
def daily(name, pipeline, **more):
    return Schedule(name, pipeline=pipeline, cron="0 4 * * *", **more)
"""


def test_the_schedules_of_a_file_go_with_their_pipeline(write: Write, tmp_path: Path) -> None:
    text = "words, other = bind('words'), bind('other')\none = daily('one', 'words', input='a')\n"
    write(
        "timed.py", SCHEDULES + text + "more = [daily('two', 'words'), daily('far', 'elsewhere')]\nnone = ()"
    )

    discovered = discover(["timed.py"], tmp_path)

    assert [it.name for it in discovered.schedules] == ["one", "two"] and discovered.failures == ()
    found = {it.pipeline.name: [each.name for each in it.schedules] for it in discovered.bindings}
    assert found == {"words": ["one", "two"], "other": []}
    assert [(it.name, it.pipeline) for it in discovered.other_schedules] == [("far", "elsewhere")]
    assert [it.name for it in discover(["timed.py:words"], tmp_path).schedules] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("one = daily('one', 'words', input=5)", "its input does not fit the contract"),
        (
            "one = daily('one', 'words')\ntwo = daily('one', 'words', tz='Europe/Berlin')",
            "there are two schedules",
        ),
        ("one = daily('one', 'words', tz='Nowhere')", "no zone of the IANA database"),
        ("one = daily('one', 'words', input=object())", "input has no JSON form"),
    ],
)
def test_a_schedule_that_has_no_meaning_is_refused_with_its_place(
    write: Write, tmp_path: Path, text: str, error: str
) -> None:
    file = write("mistimed.py", f"{SCHEDULES}words = bind('words')\n{text}\n")

    (failure,) = discover(["mistimed.py"], tmp_path).failures

    assert error in failure.error and failure.explicit and failure.place.startswith(f"{file}:")


def test_a_list_of_bindings_is_served_as_each_of_them(write: Write, tmp_path: Path) -> None:
    write(
        "listed.py",
        "one = bind('one')\nall_of_them = [one, bind('two')]\nothers = (1, bind('three'))\nnone = []",
    )

    discovered = discover(["listed.py"], tmp_path)

    assert names(discovered) == ["one", "two"]
    assert discovered.failures == ()


def test_one_object_of_a_module(write: Write, tmp_path: Path) -> None:
    write("several.py", "one = bind('one')\ntwo = bind('two')")

    assert names(discover(["several:two"], tmp_path)) == ["two"]
    assert names(discover(["several.py:one"], tmp_path)) == ["one"]


def test_a_name_that_a_module_does_not_have_is_answered_with_the_nearest(
    write: Write, tmp_path: Path
) -> None:
    write("nearly.py", "words = bind('words')")

    (failure,) = discover(["nearly:wordz"], tmp_path).failures

    assert failure.explicit
    assert str(failure) == "nearly:wordz: nearly has no task, chain or binding 'wordz'; write words"


def test_one_broken_module_costs_no_other(write: Write, tmp_path: Path) -> None:
    write("pack_three/__init__.py", "")
    write("pack_three/good.py", "good = bind('good')")
    broken = write("pack_three/broken.py", "import there_is_no_such_library")

    discovered = discover(["pack_three"], tmp_path)

    assert names(discovered) == ["good"]
    (failure,) = discovered.failures
    assert not failure.explicit
    assert failure.name == "pack_three.broken"
    assert failure.place == f"{broken}:{len(broken.read_text().splitlines())}"
    assert failure.error == "ModuleNotFoundError: No module named 'there_is_no_such_library'"
    assert failure.advice.startswith("install there_is_no_such_library for ")


@pytest.mark.parametrize(
    ("text", "error", "advice"),
    [
        ("raise ValueError('not now')", "ValueError: not now", "correct what the module does"),
        ("raise SystemExit(3)", "SystemExit: 3", "it ends the program"),
        ("class Odd(BaseException): pass\nraise Odd('odd')", "Odd: odd", "correct what the module does"),
        ("def half(", "SyntaxError: '(' was never closed", "correct this line"),
        (
            "raise OSError('amqp://me:secret@host is away')",
            "OSError: amqp://me:***@host is away",
            "correct what the module does",
        ),
    ],
)
def test_whatever_a_module_raises_is_a_fact_with_its_place(
    write: Write, tmp_path: Path, text: str, error: str, advice: str
) -> None:
    file = write("raises_it.py", text)

    (failure,) = discover(["raises_it.py"], tmp_path).failures

    assert failure.explicit
    assert error in failure.error
    assert "secret" not in str(failure)
    assert failure.place.startswith(f"{file}:")
    assert failure.advice.startswith(advice)


def test_a_declaration_that_is_refused_has_its_own_fix_alone(write: Write, tmp_path: Path) -> None:
    write(
        "odd.py",
        "from mousetrap.pipeline import All, Pipeline, Stage\n"
        "A = Stage(name='a', queue='a', input=str, output=int)\n"
        "Pipeline(name='p', description='', stages=(A, Stage(name='b', queue='b', input=str, output=str)))",
    )
    write("odd_need.py", "from mousetrap.pipeline import All\nAll('a', need=1.5)")

    contract, need = discover(["odd.py", "odd_need.py"], tmp_path).failures

    assert contract.advice == need.advice == ""
    assert str(contract).endswith(
        "odd.py:13): ValueError: pipeline 'p': stage 'a' gives int, but 'b' takes str: make them the same contract"
    )
    assert str(need).endswith("or a share of them of at most 1.0, as 0.95")


def test_ctrl_c_ends_it(write: Write, tmp_path: Path) -> None:
    write("interrupted.py", "raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        discover(["interrupted"], tmp_path)


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        ("no_such_module_here", "name it as Python imports it"),
        ("no_such/file.py", "check the path"),
        ("what is this", "write a module's name"),
        ("", "write a module's name"),
        ("words.py:", "write module:object"),
        ("folder/:words", "name the file in it"),
        ("notes.txt/", "it is no Python file"),
        ("a.b.py", "rename it"),
    ],
)
def test_a_target_that_is_none_is_answered_with_the_fix(
    write: Write, tmp_path: Path, target: str, advice: str
) -> None:
    write("folder/empty.py", "")
    write("notes.txt", "")
    write("a.b.py", "")

    discovered = discover([target], tmp_path)

    (failure,) = discovered.failures
    assert discovered.found == ()
    assert failure.explicit
    assert advice in failure.advice


def test_a_file_whose_name_another_module_has_is_not_mistaken_for_it(write: Write, tmp_path: Path) -> None:
    write("json.py", "words = bind('words')")

    (failure,) = discover(["json.py"], tmp_path).failures

    assert "is taken by" in failure.error
    assert failure.advice == "rename the file"


def test_two_of_one_name_are_both_refused_with_both_places(write: Write, tmp_path: Path) -> None:
    one = write("first_of_two.py", "words = bind('words')")
    other = write("second_of_two.py", "words = bind('words')\nalone = bind('alone')")

    discovered = discover(["first_of_two", "second_of_two"], tmp_path)

    assert names(discovered) == ["alone"]
    first, second = discovered.failures
    line = len(one.read_text().splitlines())
    assert first.place == f"{one}:{line}"
    assert f"second_of_two.words at {other}:{line}" in first.error
    assert f"first_of_two.words at {one}:{line}" in second.error
    assert first.explicit
    assert first.advice == "rename one"


def test_pipelines_of_one_name_that_differ_are_refused(write: Write, tmp_path: Path) -> None:
    write("differs_one.py", "words = bind('words', 'here')")
    write("differs_two.py", "words = bind('words', 'there')")

    discovered = discover(["differs_one", "differs_two"], tmp_path)

    assert names(discovered) == []
    assert "pipeline 'words' is defined twice" in discovered.failures[0].error


def test_a_file_under_two_names_is_one_file(write: Write, tmp_path: Path) -> None:
    write("space/twice_named.py", "words = bind('words')")

    discovered = discover(["space.twice_named", "space/twice_named.py"], tmp_path)

    assert discovered.failures[0].advice == "the file is loaded under two names: name it once"


def test_nothing_but_the_targets_is_imported(write: Write, tmp_path: Path) -> None:
    write("wanted_one.py", "words = bind('words')")
    write("unwanted_one.py", "words = bind('unwanted')")

    discover(["wanted_one"], tmp_path)

    assert "unwanted_one" not in sys.modules


def test_an_object_whose_class_cannot_be_asked_for_costs_nothing(write: Write, tmp_path: Path) -> None:
    """Lazy settings of a framework are such an object, until it is set up."""
    write(
        "lazy_one.py",
        "class Lazy:\n    @property\n    def __class__(self): raise RuntimeError('not set up')\n"
        "settings = Lazy()\nwords = bind('words')",
    )

    for target in ("lazy_one.py", "lazy_one:words"):
        assert names(discover([target], tmp_path)) == ["words"], target
    [failure] = discover(["lazy_one:settings"], tmp_path).failures
    assert "has no task, chain or binding 'settings'" in failure.error
