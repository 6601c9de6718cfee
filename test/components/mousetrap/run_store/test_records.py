"""Tests the codec of the packed records."""

import pytest

from mousetrap.run_store.records import (
    JobFacts,
    JobRecord,
    RecordBroken,
    RunFacts,
    RunRecord,
    decode_head,
    decode_job,
    decode_run,
    encode_claim,
    encode_done,
    encode_run,
)


def test_a_run_is_read_as_it_was_written() -> None:
    facts = RunFacts(pipeline="sums", stage="add", accepted_ms=1_800_000_000_000, tags='["a"]')

    record = encode_run(facts, b'{"text":"one\\ntwo"}')

    assert decode_run(record) == RunRecord("queued", facts, b'{"text":"one\\ntwo"}')
    assert record.startswith(b'Q{"pipeline":"sums","stage":"add","accepted_ms":1800000000000,')


def test_a_claim_becomes_a_verdict_under_the_same_fence() -> None:
    facts = JobFacts(stage="add", worker="w1", claimed_ms=1, until_ms=2)
    done = JobFacts(stage="add", worker="w1", claimed_ms=1, until_ms=2, decided_ms=3, next="print")

    assert decode_job(encode_claim(10, facts)) == JobRecord("running", 10, facts, b"")
    assert decode_job(encode_done(10, done, b'{"type":"done"}')) == JobRecord(
        "done", 10, done, b'{"type":"done"}'
    )


def test_the_head_of_a_job_has_its_state_and_its_fence() -> None:
    assert decode_head(encode_claim(0x1F, JobFacts())[:9]) == ("running", 31)


@pytest.mark.parametrize(
    "record", [b"", b"Q", b"Q{}", b"Z{}\n1", b"Q{]\n1", b'Q{"accepted_ms":"x"}\n1', b"Q\xff\n1"]
)
def test_what_is_no_record_of_a_run_is_refused(record: bytes) -> None:
    with pytest.raises(RecordBroken):
        decode_run(record)


@pytest.mark.parametrize(
    "record", [b"", b"R", b"R0000000x{}", b"Z00000001{}", b"R00000001{]", b'R00000001{"worker":1}']
)
def test_what_is_no_record_of_a_job_is_refused(record: bytes) -> None:
    with pytest.raises(RecordBroken):
        decode_job(record)
