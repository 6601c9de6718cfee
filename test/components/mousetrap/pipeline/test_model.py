"""A pipeline that cannot work is refused where it is written."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import pytest

from mousetrap.pipeline import Pipeline, Stage


def stage(name: str, *, takes: type = int, gives: type = int, queue: str | None = None) -> Stage:
    return Stage(name=name, queue=queue or f"{name}_queue", input=takes, output=gives)


def chain(*stages: Stage) -> Pipeline:
    return Pipeline(name="sums", description="Adds.", stages=stages)


def test_a_chain_knows_what_follows_what() -> None:
    first, second = stage("first"), stage("second")

    pipeline = chain(first, second)

    assert pipeline.first is first
    assert pipeline.followers(first) == (second,)
    assert pipeline.followers(second) == ()
    assert pipeline.ends == (second,)
    assert pipeline.stage("second") is second
    assert pipeline.stage("third") is None


@pytest.mark.parametrize(
    ("stages", "what"),
    [
        ((), "no stages"),
        ((stage("a"), stage("a", queue="b")), "name 'a' twice: give each stage a name of its own"),
        ((stage("a", queue="q"), stage("b", queue="q")), "queue 'q' twice: give each"),
        ((stage("a", gives=str), stage("b")), "make them the same contract"),
    ],
)
def test_a_pipeline_that_cannot_work_is_refused(stages: tuple[Stage, ...], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        chain(*stages)


@pytest.mark.parametrize("name", ["", "Fetch", "a b", "a.b", "a#", "*", "1a", "a" * 64])
def test_a_name_that_a_broker_or_a_key_could_misread_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="use a-z"):
        stage(name)


@pytest.mark.parametrize("limit", ["timeout", "soft_timeout"])
@pytest.mark.parametrize("seconds", [0, 0.0, -1, float("nan")])
def test_a_time_limit_of_nothing_is_refused(limit: str, seconds: float) -> None:
    with pytest.raises(ValueError, match="need 0 < soft_timeout"):
        Stage(name="a", queue="q", input=int, output=int, **{limit: seconds})  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e15])
def test_an_expiry_that_is_no_span_of_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"expires_after is .* need more than 0"):
        Pipeline(name="sums", description="Adds.", stages=(stage("first"),), expires_after=seconds)


class Plain:
    """A class that no reader knows."""


class Tree(msgspec.Struct):
    """A struct that holds itself, and something without a JSON form."""

    leaves: "list[Tree]"
    grow: Callable[[], None]


@pytest.mark.parametrize(
    ("contract", "what"),
    [
        (object, r"msgspec cannot read object, at \$\. Use a msgspec.Struct"),
        (Plain, r"msgspec cannot read Plain, at \$"),
        (list[Plain], r"msgspec cannot read Plain, at \$\[\]"),
        (dict[str, Plain | None], r"msgspec cannot read Plain, at \$\{\}"),
        (set[Callable[[], int]], r"Callable, at \$\[\]"),
        (Tree, r"Callable, at \$\.grow"),
        (dict[tuple[int, int], str], r"the keys of \$ cannot be texts"),
        ("Tree", "''Tree'' is not supported"),
        (Annotated[int, {}], "unhashable"),
    ],
)
@pytest.mark.parametrize("side", ["input", "output"])
def test_a_contract_without_a_json_form_is_refused_where_it_is_written(
    contract: Any, what: str, side: str
) -> None:
    contracts = {"input": int, "output": int, side: contract}

    with pytest.raises(ValueError, match=rf"stage 'a': its {side} is .*{what}"):
        Stage(name="a", queue="q", **contracts)
