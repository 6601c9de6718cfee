"""Tests that a chain of tasks may fan out, or is refused."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from mousetrap import handlers
from mousetrap.handlers import TaskRefused, task
from mousetrap.pipeline import All, Each, Gathered, Keyed, Many
from mousetrap.testing import run


class Ref(msgspec.Struct):
    url: str


class Text(msgspec.Struct):
    text: str


@task
def find(query: str) -> Many[Keyed[Ref]]:
    """Finds pages."""
    for url in query.split():
        yield Keyed(url, Ref(url))


@task(queue="pages")
async def read(ref: Ref, most: int = 2) -> Text:
    """Reads a page."""
    return Text(ref.url[:most])


@task
def clean(text: Text) -> Text:
    return Text(text.text.upper())


@task
async def sum_up(texts: Gathered[Text]) -> str:
    """Joins them."""
    return " ".join([text.text async for _, text in texts])


@task
def sum_refs(refs: Gathered[Ref]) -> str:
    return ""


@task
def sum_lines(lines: Gathered[str]) -> list[str]:
    return lines.values()


@task
def count(line: str) -> int:
    return len(line)


@task
def lines(text: str) -> Many[str]:
    return text.splitlines()


@task
def events(text: str) -> Iterator[Ref]:
    yield Ref(text)


#: What type checkers refuse is tried here all the same.
chain: Any = handlers.chain
each: Any = handlers.each
gather: Any = handlers.gather


def plain(ref: Ref) -> Text:
    return Text("")


def test_a_chain_fans_out_and_joins() -> None:
    papers = chain("papers", find, each(read), gather(sum_up, need=0.5), count)

    assert [(it.name, it.queue, it.after) for it in papers.pipeline.stages] == [
        ("find", "find", None),
        ("read", "pages", Each("find")),
        ("sum_up", "sum_up", All("read", need=0.5)),
        ("count", "count", None),
    ]
    assert papers.pipeline.stages[0].output == Many[Keyed[Ref]]
    assert papers.pipeline.stages[1].input is Ref
    assert papers.pipeline.description == "Finds pages. Reads a page. Joins them."
    assert run(papers, "one two three") == 8


def test_each_takes_several_tasks_and_fan_outs() -> None:
    assert run(chain("clean", find, each(read, clean), gather(sum_up)), "one two") == "ON TW"
    assert run(
        chain("lines", lines, each(find, each(read), gather(sum_up)), gather(sum_lines)), "one two\nthree"
    ) == ["on tw", "th"]


def test_a_task_that_runs_in_chains_alone_has_no_pipeline_of_its_own() -> None:
    assert (find.is_part, sum_up.is_part, read.is_part) == (True, True, False)
    for part in (find, sum_up):
        with pytest.raises(
            TaskRefused, match=r"test_graph_chain.py:\d+: .*and so is a part of a chain: write chain"
        ):
            part.pipeline  # noqa: B018
        with pytest.raises(TaskRefused, match="a part of a chain"):
            part.binding  # noqa: B018
    assert [ref.value.url for ref in find("a b")] == ["a", "b"]


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ((find, each(clean), gather(sum_up)), r"'clean' \(.*\.py:\d+\) takes each item of 'find' \(.*\), which gives Many\[Keyed\[Ref\]\], but 'clean' takes Text"),
        ((find, each(read), gather(sum_refs)), r"'sum_refs' \(.*\.py:\d+\) joins 'read' \(.*\), which gives Text, but takes Gathered\[Ref\]: make its input Gathered\[Text\]"),
        ((find, read), r"'find' \(.*\) gives .*Many.*, and 'read' would take all of it: write each\(read\)"),
        ((find, each(read), clean), r"'clean' .* follows each\(…\) without a gather: write each\(read, clean\), or gather first"),
        ((count, each(read), gather(sum_up)), r"'read' \(.*\.py:\d+\) takes each item of 'count' \(.*\), which gives int: make its output Many\[Ref\]"),
        ((clean, gather(sum_up)), r"'sum_up' \(.*\.py:\d+\) joins what each\(…\) began, and none is before it: write each\(…\) before gather\(sum_up\)"),
        ((find, each(read), each(clean)), r"'clean' .* follows each\(…\) without a gather: write each\(read, clean\)"),
        ((find, each(read), gather(sum_up), gather(sum_lines)), r"'sum_lines' \(.*\) joins what each\(…\) began"),
        ((find, each(read), gather(sum_up), clean), r"'sum_up' \(.*\) gives str, but 'clean'"),
        ((find, each(read, count), gather(sum_up)), r"'read' \(.*\) gives .*Text.*, but 'count'"),
        ((each(read), gather(sum_up)), "'read' .* takes each item of what is before it, and is the first"),
        ((gather(sum_up),), "'sum_up' .* joins what is before it, and is the first"),
        ((find, each(plain), gather(sum_up)), "is no task: write @task above plain"),
        ((find, each(read), gather(clean)), r"'clean' \(.*\) joins 'read' .* but takes Text: make its input Gathered\[Text\]"),
        ((find, each(read), sum_up), r"'sum_up' \(.*\) takes .*Gathered.*: write gather\(sum_up\)"),
        ((events, each(read), gather(sum_up)), r"'read' .* takes each item of 'events' .*, which gives None: make its output Many"),
        ((sum_up,), r"'sum_up' \(.*\) takes Gathered\[Text\], and is the first: put a task that gives Many before it, and write each\(…\), gather\(sum_up\)"),
        ((find,), r"'find' \(.*\) gives Many\[Keyed\[Ref\]\], and nothing takes its items: write each\(…\) after it, of a task that takes Ref"),
        ((lines, each(find), each(read), gather(sum_up), gather(sum_lines)), r"'read' .* follows each\(…\) without a gather"),
    ],
)  # fmt: skip
def test_a_graph_that_cannot_work_is_refused(parts: tuple[Any, ...], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        chain("papers", *parts)


def test_a_join_without_outputs_is_refused_with_its_place() -> None:
    with pytest.raises(
        ValueError,
        match=r"'sum_up' \(.*\.py:\d+\) joins jobs whose outputs are not kept, but takes Gathered\[Text\]",
    ):
        chain("papers", find, each(read), gather(sum_up, keep=False))


def test_what_a_task_that_is_there_twice_is_advised_to_write_runs() -> None:
    with pytest.raises(
        ValueError,
        match=r"'clean' \(.*\) is in it twice: .*clean_again = task\(name='clean_again'\)\(clean.function\)",
    ):
        chain("papers", find, each(read, clean, clean), gather(sum_up))

    clean_again = task(name="clean_again")(clean.function)

    assert run(chain("papers", find, each(read, clean, clean_again), gather(sum_up)), "one two") == "ON TW"


@pytest.mark.parametrize("need", [1, "most", -1])
def test_a_need_that_cannot_be_is_refused(need: Any) -> None:
    with pytest.raises(ValueError, match="need is"):
        chain("papers", find, each(read), gather(sum_up, need=need))


def test_a_row_joins_what_it_opens() -> None:
    with pytest.raises(ValueError, match="is joined there too"):
        each(find, each(read))


def test_a_chain_is_shown_by_its_stages() -> None:
    @task
    def first(text: str) -> str:
        return text

    @task
    def second(text: str) -> str:
        return text

    assert repr(chain("both", first, second)) == "<chain 'both' of first, second>"
