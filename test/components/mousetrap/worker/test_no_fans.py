"""A worker refuses what it cannot run yet."""

import pytest

from mousetrap.worker.no_fans import refuse_fans
from support.fan_bench import list_binding
from support.fan_handlers import items
from support.handler_host import HandlerBench


def test_a_fan_out_is_refused_where_it_is_served() -> None:
    with pytest.raises(
        ValueError, match="pipeline 'papers': stage 'list' fans out, and workers of this version"
    ):
        refuse_fans([list_binding(items)])


def test_a_pipeline_without_one_is_served() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as threads:
        refuse_fans([HandlerBench(threads).binding(items)])
