"""Drawn graphs give in a world what plain calls give."""

from contextlib import closing
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mousetrap.testing import World
from mousetrap.testing.simulation.world_simulation import POINTS
from support.graphs import Lost, bindings, parts, result

# Each example is a world.
pytestmark = pytest.mark.slow


# Not made smaller: a world that does not settle takes minutes.
@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(parts(2), st.integers(0, 40), st.sampled_from((None, *POINTS)), st.booleans())
def test_a_graph_gives_what_plain_calls_give(part: Any, n: int, kill: str | None, in_threads: bool) -> None:
    try:
        expected: Any = result(part, n)
    except Lost:
        expected = None
    served = bindings(part, in_threads=in_threads)

    with closing(World()) as world:

        async def one_run() -> Any:
            world.serve(*served)
            if kill is not None:
                world.kill_worker(at=kill)
            run = await world.submit("drawn", n)
            await world.settle()
            return run.result if run.state == "completed" else None

        assert world.drive(one_run(), real_limit_s=600) == expected
