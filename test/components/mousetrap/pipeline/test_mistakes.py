"""What a newcomer writes by mistake is refused with what to write."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from mousetrap.pipeline import All, AnyOf, Each, Fallback, Gathered, Lock, Many, Pipeline, Stage


def stage(name: str, **fields: Any) -> Stage:
    given: dict[str, Any] = {"name": name, "queue": name, "input": str, "output": str}
    return Stage(**(given | fields))


class Job(msgspec.Struct):
    site: str


A = stage("a")

MISTAKES: tuple[tuple[Callable[[], object], str], ...] = (
    (lambda: stage("b", after=["a"]), "stage 'b': after is ['a']: write after='a'"),
    (
        lambda: stage("b", after=("a", "c")),
        "write AnyOf('a', 'c') where a run comes to one of them, or All('a', 'c')",
    ),
    (lambda: stage("b", after=A), "stage 'b': after is <stage 'a'>: write the stage's name, as after='a'"),
    (lambda: stage("b", after=All), "name what it follows, as All('read')"),
    (lambda: stage("b", after=5), "write a stage's name, AnyOf('a', 'b'), Each('a') or All('a')"),
    (lambda: All(["a"]), "All(['a']): name the stages one by one, as All('a')"),  # type: ignore[arg-type]
    (lambda: All(A), "All(<stage 'a'>): write the stage's name, as All('a')"),  # type: ignore[arg-type]
    (lambda: All(Each("a")), "name one stage by its text, as All('read')"),  # type: ignore[arg-type]
    (
        lambda: All("a", need=95.0),
        "All('a'): need is 95.0: write the share as 0.95, or a whole number of jobs as 95",
    ),
    (
        lambda: All("a", need=1.5),
        "need is 1.5: write a whole number of jobs, as 2, or a share of them of at most 1.0, as 0.95",
    ),
    (
        lambda: Pipeline(name="p", description="", stages=(A, stage("b"), stage("a", queue="c"))),
        "pipeline 'p' uses the name 'a' twice: give each stage a name of its own",
    ),
    (lambda: All("a", need=10**20), "All('a'): need is 100000000000000000000: write the share of the jobs"),
    (
        lambda: All("a", keep=None),  # type: ignore[arg-type]
        "All('a'): keep is None: write keep=False where the join takes counts alone",
    ),
    (lambda: All("a", within=5), "All('a'): within is 5: write within=timedelta(seconds=5)"),  # type: ignore[arg-type]
    (lambda: All("a", within=math.inf), "All('a'): within is inf: write within=timedelta(seconds=90)"),  # type: ignore[arg-type]
    (lambda: All("a", within="5s"), "All('a'): within is '5s': write within=timedelta("),  # type: ignore[arg-type]
    (lambda: All("a", within=timedelta(0)), "All('a'): within is 0 s: need more than 0 and less than"),
    (lambda: All("a", within=timedelta(days=40_000)), "All('a'): within is 3.456e+09 s: need more than 0"),
    (
        lambda: All("a", "b", within=timedelta(1)),
        "it joins stages that all run: leave it out, and give these",
    ),
    (lambda: All("a", "b", keep=False), "All('a', 'b'): keep is False, and it joins stages that all run"),
    (lambda: Each(["a"]), "Each(['a']): name one stage by its text, as Each('read')"),  # type: ignore[arg-type]
    (lambda: Each(""), "Each(''): name one stage by its text, as Each('read')"),
    (lambda: All(""), "All(''): name one stage by its text, as All('read')"),
    (lambda: AnyOf("", "a"), "AnyOf(''): name one stage by its text, as AnyOf('read')"),
    (lambda: AnyOf(["a", "b"]), "name the stages one by one, as AnyOf('a', 'b')"),  # type: ignore[arg-type]
    (lambda: Fallback(A), "Fallback(<stage 'a'>): write the stage's name, as Fallback('a')"),  # type: ignore[arg-type]
    (lambda: stage("b", on_failure="Skip"), "stage 'b': on_failure is 'Skip': write 'fail', 'skip'"),
    (lambda: stage("b", output=Many), "stage 'b': its output is Many of what? Write Many[str]"),
    (lambda: stage("b", timeout=timedelta(minutes=1)), "write seconds, as 60"),
    (lambda: stage("b", soft_timeout="5"), "soft_timeout is '5': write seconds, as 30.0"),
    (lambda: stage(5), "stage name 5: use a-z"),  # type: ignore[arg-type]
    (lambda: stage("b", queue=None), "queue name None: use a-z"),
    (lambda: stage("b", lock="site"), "stage 'b': lock is 'site': write Lock(name='site')"),
    (lambda: stage("b", lock=Lock(name=5)), "lock name 5: use a-z"),  # type: ignore[arg-type]
    (
        lambda: stage("b", lock=Lock(name="site", by="site")),
        "names the field 'site', and its input has: none",
    ),
    (
        lambda: stage("b", input=Job, lock=Lock(name="site", by="sites")),
        "names the field 'sites', and its input has: site",
    ),
    (lambda: stage("b", retry=3), "stage 'b': retry is 3: write RetryPolicy(attempts=3)"),
    (
        lambda: Pipeline(name="p", description="", stages=(A,), expires_after=timedelta(days=1)),  # type: ignore[arg-type]
        "pipeline 'p': expires_after is datetime.timedelta(days=1): write seconds, as 86400",
    ),
    (
        lambda: Pipeline(name="p", description=5, stages=(A,)),  # type: ignore[arg-type]
        "pipeline 'p': description is 5: write description='Counts words.'",
    ),
    (
        lambda: Pipeline(name="p", description="", stages=(A,), in_place="no"),  # type: ignore[arg-type]
        "pipeline 'p': in_place is 'no': write in_place=True",
    ),
    (lambda: Pipeline(name="p", description="", stages=[A]), "write stages=(Stage(…), Stage(…))"),  # type: ignore[arg-type]
    (lambda: Pipeline(name="p", description="", stages=("a",)), "has 'a' among its stages"),  # type: ignore[arg-type]
    (
        lambda: Pipeline(
            name="p",
            description="",
            stages=(
                stage("a", output=Many[str]),
                stage("b", after=Each("a")),
                stage("c", input=Gathered[str], after=All("b", keep=False)),
            ),
        ),
        "stage 'c' joins jobs whose outputs are not kept, but takes Gathered[str]: make its input Gathered[None]",
    ),
    (
        lambda: Pipeline(
            name="p",
            description="",
            stages=(
                stage("a", output=Many[str]),
                stage("b", after=Each("a")),
                stage("c", input=Gathered, after=All("b")),
            ),
        ),
        "stage 'c' joins 'b', which gives str, but takes Gathered: make its input Gathered[str]",
    ),
)


@pytest.mark.parametrize(("write", "sentence"), MISTAKES)
def test_a_mistake_is_refused_with_what_to_write(write: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        write()
    assert sentence in str(refused.value)
