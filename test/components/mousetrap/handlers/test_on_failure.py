"""Only what can be handed on goes to a fallback."""

import pytest

from mousetrap.handlers.on_failure import carried_on
from mousetrap.jobs import Done, Failure, GiveUp, decode, first_job
from mousetrap.jobs.envelope import encode
from mousetrap.pipeline import Fallback, Stage

SEND = Stage(name="send", queue="send", input=str, output=str, on_failure=Fallback("regret"))
GIVEN_UP = GiveUp("contract", Failure(kind="ContractBroken", text="no JSON"))


@pytest.mark.parametrize(
    ("payload", "goes_on"),
    [(b'"7"', True), (b'"\xff"', False), (b'{"a"', False), (b"[" * 100_000, False)],
)
def test_a_payload_that_is_no_json_is_not_handed_on(payload: bytes, goes_on: bool) -> None:
    """Not signed, a message can hold any; its outcome would have no record, and the message would come again and again."""
    job = first_job(run_id="r1", pipeline="letters", stage="send", payload=b"0", accepted_ms=1, v=5)
    job = decode(encode(job)[:-1] + payload)

    outcome = carried_on(GIVEN_UP, job, SEND, (), 1_000_000)

    assert isinstance(outcome, Done) == goes_on
    assert goes_on or outcome is GIVEN_UP
