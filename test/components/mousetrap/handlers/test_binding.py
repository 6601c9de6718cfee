"""Bindings, checked where they are written."""

from dataclasses import replace

import pytest

from mousetrap.handlers import Binding
from mousetrap.pipeline import Pipeline, Stage

STAGE = Stage(name="add", queue="add", input=int, output=int)
PIPELINE = Pipeline(name="sums", description="One stage.", stages=(STAGE,))


def test_a_binding_takes_its_stage_by_name_or_as_it_is_so_that_it_can_be_replaced() -> None:
    binding = Binding(pipeline=PIPELINE, stage="add", handler=abs)

    changed = replace(binding, handler=round)
    assert (changed.stage, changed.stage_name, changed.handler) == (STAGE, "add", round)


@pytest.mark.parametrize("stage", ["double", replace(STAGE, name="double")])
def test_a_stage_that_the_pipeline_does_not_have_is_refused(stage: str | Stage) -> None:
    with pytest.raises(ValueError, match="pipeline 'sums' has no stage 'double'; it has: add"):
        Binding(pipeline=PIPELINE, stage=stage, handler=abs)


def test_a_lifespan_that_cannot_be_called_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="stage 'add': lifespan is 5: give a function that opens"):
        Binding(pipeline=PIPELINE, stage="add", handler=abs, lifespan=5)  # type: ignore[arg-type]
