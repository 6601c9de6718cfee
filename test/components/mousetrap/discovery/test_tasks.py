"""Tasks and chains are loaded, and mistakes in them have their place."""

from collections.abc import Callable
from pathlib import Path

from mousetrap.discovery import discover

Write = Callable[[str, str], Path]

WORDS = """
from mousetrap.handlers import chain, task

@task(queue="pages")
async def fetch(url: str) -> list[str]:
    return [url]

@task
def count(page: list[str], limit: int = 3) -> dict[str, int]:
    return {}

@task
def alone(a: int, b: int) -> int:
    return a + b

wordcount = chain("wordcount", fetch, count)
"""


def test_tasks_and_chains_of_a_file(write: Write, tmp_path: Path) -> None:
    write("task_words.py", WORDS)

    discovered = discover(["task_words.py"], tmp_path)

    assert discovered.failures == ()
    assert set(discovered.pipelines) == {"fetch", "count", "alone", "wordcount"}
    assert sorted(f"{it.pipeline.name}.{it.stage_name}" for it in discovered.bindings) == [
        *("alone.alone", "count.count", "fetch.fetch", "wordcount.count", "wordcount.fetch"),
    ]


def test_one_task_brings_its_stages_of_chains_with_it(write: Write, tmp_path: Path) -> None:
    write("task_parts.py", WORDS)

    def served(*targets: str) -> list[str]:
        bindings = discover(targets, tmp_path).bindings
        return sorted(f"{it.pipeline.name}.{it.stage_name}" for it in bindings)

    assert served("task_parts:fetch") == ["fetch.fetch", "wordcount.fetch"]
    assert served("task_parts:alone") == ["alone.alone"]
    assert served("task_parts:wordcount") == ["wordcount.count", "wordcount.fetch"]
    assert served("task_parts:fetch", "task_parts:count") == [
        *("count.count", "fetch.fetch", "wordcount.count", "wordcount.fetch"),
    ]


GRAPH = """
from mousetrap.handlers import chain, each, gather, task
from mousetrap.pipeline import Gathered, Many

@task
def find(text: str) -> Many[str]:
    yield from text

@task
def read(word: str) -> int:
    return len(word)

@task
def total(sizes: Gathered[int]) -> int:
    return sum(sizes.values())

papers = chain("papers", find, each(read), gather(total))
"""


def test_tasks_of_a_fan_out_are_served_in_its_chain(write: Write, tmp_path: Path) -> None:
    write("task_graph.py", GRAPH)

    discovered = discover(["task_graph.py"], tmp_path)

    assert discovered.failures == ()
    assert set(discovered.pipelines) == {"papers", "read"}
    one = discover(["task_graph:find"], tmp_path)
    assert (one.failures, set(one.pipelines)) == ((), {"papers"})


def test_a_task_that_no_job_could_call_is_a_failure_with_its_line_and_the_fix(
    write: Write, tmp_path: Path
) -> None:
    file = write("task_bare.py", WORDS + "\n@task\ndef bare(page):\n    return page\n")

    (failure,) = discover(["task_bare.py"], tmp_path).failures

    lines = file.read_text().splitlines()
    assert failure.place in [f"{file}:{lines.index('def bare(page):') + at}" for at in (0, 1)]
    assert "annotat" in failure.error


def test_two_tasks_of_one_name_are_refused_with_both_places(write: Write, tmp_path: Path) -> None:
    one = write(
        "task_one.py", "from mousetrap.handlers import task\n@task\ndef count(a: str) -> str: return a"
    )
    write("task_two.py", "from mousetrap.handlers import task\n@task\ndef count(a: str) -> str: return a")

    discovered = discover(["task_one", "task_two"], tmp_path)

    assert discovered.bindings == ()
    first, second = discovered.failures
    assert first.place.startswith(f"{one}:")
    assert "stage count.count is defined twice" in first.error
    assert str(one) in second.error
