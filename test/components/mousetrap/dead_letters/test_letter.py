"""A dead letter is read from its message and its headers."""

import msgspec
import pytest

from mousetrap.dead_letters.letter import read_letter, without_story
from mousetrap.jobs import Job, Message, encode, first_job
from mousetrap.signing import Keyring

KEYRING = Keyring.parse("test:a-secret-for-the-tests")
JOB = first_job(run_id="r1", pipeline="sums", stage="add", payload=b'{"a": 1}', accepted_ms=1)


def message(job: Job = JOB, **story: str) -> Message:
    body = encode(job)
    named = {f"mousetrap-{name.replace('_', '-')}": text for name, text in story.items()}
    return Message(job.id, body, {**KEYRING.headers(body), **named})


def test_a_letter_shows_its_story() -> None:
    letter = read_letter(
        message(
            reason="max-retries", error_type="pkg.Broken", error="no", traceback="Traceback", attempts="3",
            queue="elsewhere", worker="w1", at="1700000000000", run="another", stage="another",
        ),
        "add_q",
        KEYRING,
    )  # fmt: skip

    assert (letter.id, letter.queue, letter.run_id, letter.stage, letter.pipeline) == (
        JOB.id, "add_q", "r1", "add", "sums",
    )  # fmt: skip
    assert (letter.reason, letter.error_kind, letter.error, letter.traceback) == (
        "max-retries", "pkg.Broken", "no", "Traceback",
    )  # fmt: skip
    assert (letter.attempts, letter.worker, letter.at_ms, letter.generation) == (
        3,
        "w1",
        1_700_000_000_000,
        0,
    )
    assert letter.believed


def test_a_letter_without_details_is_read_as_far_as_it_goes() -> None:
    letter = read_letter(Message("", b"\xff\x00", {}), "add_q", KEYRING)

    assert (letter.job, letter.run_id, letter.stage, letter.pipeline, letter.generation) == (None,) * 4 + (0,)
    assert (letter.reason, letter.error, letter.attempts, letter.at_ms) == ("unknown", "", None, None)
    assert not letter.believed


def test_a_job_that_was_changed_is_read_and_not_believed() -> None:
    signed = message()
    forged = Message(signed.id, encode(msgspec.structs.replace(JOB, run_id="r2")), signed.headers)

    letter = read_letter(forged, "add_q", KEYRING)

    assert (letter.run_id, letter.believed) == ("r2", False)


@pytest.mark.parametrize("name", ["", "../etc", "a b", "x" * 65, "\x1b[31m", "é"])
def test_a_foreign_name_is_replaced_by_one_that_a_url_and_a_terminal_can_bear(name: str) -> None:
    first, again = (read_letter(Message(name, b"1", {}), "q", KEYRING).id for _ in range(2))
    other = read_letter(Message(name, b"2", {}), "q", KEYRING).id

    assert first == again != other
    assert first.isalnum() and len(first) == 32


@pytest.mark.parametrize("number", ["", "-1", "1.5", "nan", "²", "9" * 16])
def test_a_number_that_is_none_is_not_known(number: str) -> None:
    letter = read_letter(message(at=number, attempts=number), "q", KEYRING)

    assert (letter.at_ms, letter.attempts) == (None, None)


def test_a_message_goes_back_without_its_story_and_with_all_else() -> None:
    dead = message(reason="signature", at="1", run="r1", stage="add", traceback="x", note="its own")

    alive = without_story(dead)

    assert (alive.id, alive.body) == (dead.id, dead.body)
    assert set(alive.headers) == {"mousetrap-signature", "mousetrap-note"}
