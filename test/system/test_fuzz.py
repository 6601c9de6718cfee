"""Tests the API and the queues with arbitrary requests and messages."""

import os
from contextlib import suppress
from typing import Any

import msgspec
import pika
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.job_queue import open_channel
from mousetrap.jobs import encode, first_job
from mousetrap.signing import Keyring
from support.stack import SIGNING_KEYS, Deploy
from support.waiting import until
from support.workbench import just_now_ms

#: For each route, and twenty times as many messages; set it to search for long.
EXAMPLES = int(os.environ.get("MOUSETRAP_FUZZ_EXAMPLES", "5"))
#: The same examples in each run, so that a failure is a change's; not when someone searches.
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="MOUSETRAP_FUZZ_EXAMPLES" not in os.environ,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

#: What an answer must be: none of an error of ours, and each as documented.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@schemathesis.serializer("application/x-ndjson")
def _one_line(_: Any, value: Any) -> bytes:
    """A batch of one line."""
    return value if isinstance(value, bytes) else msgspec.json.encode(value)


@pytest.mark.long
def test_no_request_whatever_meets_an_error_of_ours(
    deploy: Deploy, broker_url: str, own_valkey: EmbeddedValkey
) -> None:
    stack = deploy(broker_url, own_valkey.url)
    workers = stack.start_workers()
    stack.until_ready()
    schema = schemathesis.openapi.from_url(f"{stack.api.base_url}/openapi.json")
    # The first look into a record of results imports the record's library, and no answer waits long for that.
    until(lambda: stack.api.get("/pipelines/earthquakes/latest").status_code < 500, "the record is open")

    asked = 0
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # it raises what is wrong with the documentation
        if operation.path.endswith("/events"):
            continue  # an answer without end; its parameters are tried by test_events.py
        for mode in schemathesis.GenerationMode:

            @bounded
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                nonlocal asked
                asked += 1
                (case.query or {}).pop("wait", None)  # test_wait.py tries it: the answer can take a minute
                case.validate_response(answer_to(case), checks=CHECKS)

            with suppress(Unsatisfiable):  # a route without parameters cannot be asked wrongly
                ask()

    assert asked > EXAMPLES
    assert not [line for line in stack.api_process.lines if "Traceback" in line]
    stack.completed(stack.submit())
    assert all(process.running for process in (stack.api_process, *workers))


def answer_to(case: Any) -> Any:
    """The API's answer, but for a 503: a busy machine's broker and store may stand still for longer than it waits."""

    def ask() -> Any:
        answer = case.call(timeout=60)
        return None if answer.status_code == 503 else answer

    return until(ask, f"{case.method} {case.path} is answered")


_KEYRING = Keyring.parse(SIGNING_KEYS)
_job = msgspec.json.decode(
    encode(
        first_job(
            run_id="r",
            pipeline="earthquakes",
            stage="fetch",
            payload=b'{"url":"x"}',
            accepted_ms=just_now_ms(),
            v=2,
        )
    )
)
_head = {**{name: value for name, value in _job.items() if name != "payload"}, "v": 5}
_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
#: Envelopes with some fields replaced or left out.
_nearly_jobs = st.builds(
    lambda changed, left_out: msgspec.json.encode(
        {name: value for name, value in {**_job, **changed}.items() if name not in left_out}
    ),
    st.dictionaries(st.sampled_from(sorted(_job)), _anything, max_size=3),
    st.sets(st.sampled_from(sorted(_job)), max_size=1),
)
#: Messages of format 5: a head with some fields replaced or left out, and any payload.
_nearly_packed = st.builds(
    lambda changed, left_out, payload: (
        b"M"
        + msgspec.json.encode(
            {name: value for name, value in {**_head, **changed}.items() if name not in left_out}
        )
        + b"\n"
        + payload
    ),
    st.dictionaries(
        st.sampled_from([*sorted(_head), "parent", "parent_fence", "serializer"]), _anything, max_size=3
    ),
    st.sets(st.sampled_from(sorted(_head)), max_size=1),
    st.just(b'{"url":"x"}') | st.binary(max_size=30),
)
#: Text that a frame can carry, under names of ours and of strangers.
_headers = st.dictionaries(
    st.text(min_size=1, max_size=20) | st.just("mousetrap-signature"),
    st.text(max_size=50) | st.integers(-(2**31), 2**31 - 1) | st.booleans() | st.none(),
    max_size=3,
)


def test_no_message_whatever_stops_a_worker(
    deploy: Deploy, broker_url: str, own_valkey: EmbeddedValkey
) -> None:
    stack = deploy(broker_url, own_valkey.url)
    workers = stack.start_workers()

    with open_channel(broker_url) as channel:

        @settings(bounded, max_examples=20 * EXAMPLES)
        @given(
            body=st.binary(max_size=200) | _nearly_jobs | _nearly_packed, signed=st.booleans(), more=_headers
        )
        def put(body: bytes, signed: bool, more: dict[str, Any]) -> None:
            headers = {**more, **(_KEYRING.headers(body) if signed else {})}
            channel.basic_publish("", "start_fetch", body, pika.BasicProperties(headers=headers))

        put()

        def taken() -> bool:
            return bool(channel.queue_declare("start_fetch", passive=True).method.message_count == 0)

        until(taken, "all are taken", seconds=60)

    stack.completed(stack.submit())
    assert all(worker.running for worker in workers)
    assert not [line for worker in workers for line in worker.lines if "Traceback" in line]
