"""Tests which names a brick can have."""

import pytest

from mousetrap.api_client import Misused
from mousetrap.workspace.names import check_name, check_stages, class_name, dashed


@pytest.mark.parametrize("name", ["words", "count_words", "w", "step2", "a" * 24])
def test_a_name_of_words_is_taken(name: str) -> None:
    check_name(name, {"jobs"})


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Words",
        "count-words",
        "2words",
        "_words",
        "words_",
        "a__b",
        "wörter",
        "words/..",
        "a b",
        "a\n",
        "class",
        "match",
    ],
)
def test_a_name_that_python_or_kubernetes_would_refuse_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(Misused, match="as in 'count_words'"):
        check_name(name, ())


@pytest.mark.parametrize("name", ["test", "test_words", "testimony"])
def test_a_name_whose_contracts_pytest_would_collect_is_refused(name: str) -> None:
    with pytest.raises(Misused, match="begins as tests do"):
        check_name(name, ())


def test_a_name_that_is_too_long_or_taken_is_refused() -> None:
    with pytest.raises(Misused, match="25 characters: at most 24"):
        check_name("a" * 25, ())
    with pytest.raises(Misused, match="a brick 'jobs' already"):
        check_name("jobs", {"jobs"})


def test_a_pipeline_has_two_stages_or_more_each_with_a_name_of_its_own() -> None:
    check_stages("corpus", ["find", "count"])
    with pytest.raises(Misused, match="`mousetrap new task corpus`"):
        check_stages("corpus", ["find"])
    with pytest.raises(Misused, match="'find' is given twice"):
        check_stages("corpus", ["find", "find"])
    with pytest.raises(Misused, match="'corpus' is given twice"):
        check_stages("corpus", ["find", "corpus"])
    with pytest.raises(Misused, match="'Count' cannot be a name"):
        check_stages("corpus", ["find", "Count"])


def test_a_name_has_the_form_of_its_place() -> None:
    assert class_name("count_words") == "CountWords"
    assert dashed("count_words") == "count-words"
