"""A worker that serves half of a shared queue does not start."""

from collections.abc import Sequence

import pytest

from mousetrap.handlers import Binding
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.serve_worker import serve_worker
from mousetrap.serve_worker.shared_queues import check_shared_queues

KEYS = {"MOUSETRAP_SIGNING_KEYS": "test:a-secret-for-the-tests"}


def pipeline(name: str, **queues: str) -> Pipeline:
    stages = tuple(Stage(name=stage, queue=queue, input=int, output=int) for stage, queue in queues.items())
    return Pipeline(name=name, description=name, stages=stages)


def binding(of: Pipeline, stage: str) -> Binding:
    return Binding(pipeline=of, stage=stage, handler=lambda number: number)


ALONE = pipeline("alone", count="words")
CHAIN = pipeline("chain", fetch="pages", count="words")


def never(*_: object, **__: object) -> None:
    raise AssertionError("the worker was started, whose guard would end this process")


@pytest.mark.parametrize(
    ("bindings", "pipelines"),
    [
        pytest.param([binding(ALONE, "count")], [ALONE, CHAIN], id="a pipeline of the workspace"),
        pytest.param([binding(ALONE, "count"), binding(CHAIN, "fetch")], [], id="a pipeline of its own"),
    ],
)
def test_a_worker_that_would_bury_jobs_of_a_shared_queue_does_not_start(
    bindings: Sequence[Binding], pipelines: Sequence[Pipeline], capsys: pytest.CaptureFixture[str]
) -> None:
    # A refusal of the check is what the settings' own refusals are: exit code 2, and nothing is opened.
    binders = [lambda _, one=one: one for one in bindings]
    assert serve_worker(never, binders, KEYS, pipelines=pipelines) == 2  # type: ignore[arg-type]

    text = capsys.readouterr().err
    assert "queue 'words' has jobs of alone.count and of chain.count" in text
    assert "Serve both stages in one worker" in text


@pytest.mark.parametrize(
    ("bindings", "pipelines"),
    [
        pytest.param(
            [binding(ALONE, "count"), binding(CHAIN, "count")], [ALONE, CHAIN], id="all on the queue"
        ),
        pytest.param([binding(CHAIN, "fetch")], [ALONE, CHAIN], id="others on another queue"),
    ],
)
def test_a_worker_that_serves_all_of_its_queues_starts(
    bindings: Sequence[Binding], pipelines: Sequence[Pipeline]
) -> None:
    check_shared_queues(bindings, pipelines)  # started here, its guard would end the process of the tests
