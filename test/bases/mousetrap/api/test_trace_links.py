"""A run shows its trace, and the way to it."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from mousetrap.catalogue import PIPELINES
from mousetrap.jobs import TraceContext
from mousetrap.run_store import Terms, open_store
from mousetrap.signing import Keyring

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def open_run(store_url: str, run_id: str, trace: TraceContext) -> None:
    async def opened() -> None:
        async with open_store(store_url, retention=3600, keyring=Keyring()) as store:
            pipeline = PIPELINES["earthquakes"]
            stage = pipeline.first.name
            await store.open_run(run_id, pipeline.name, stage, b"{}", terms=Terms(trace=trace))

    asyncio.run(opened())


@pytest.mark.parametrize(
    ("setting", "link"),
    [
        ("", None),
        ("http://jaeger:16686/trace/{trace_id}?uiFind=x", f"http://jaeger:16686/trace/{TRACE}?uiFind=x"),
    ],
)
def test_a_traced_run_has_the_link_to_its_trace(
    serve: Callable[..., httpx.Client], store_url: str, setting: str, link: str | None
) -> None:
    api = serve(trace_url=setting)
    open_run(store_url, "traced", TraceContext(f"00-{TRACE}-00f067aa0ba902b7-01"))
    open_run(store_url, "other", TraceContext("javascript:alert(1)"))

    traced, other = (api.get(f"/runs/{run}").json() for run in ("traced", "other"))

    assert (traced["trace_id"], traced["trace_url"]) == (TRACE, link)
    assert (other["trace_id"], other["trace_url"]) == (None, None)
