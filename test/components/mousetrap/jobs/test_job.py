"""The job keeps its identity on the wire."""

import uuid
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.jobs import Job, JobTooNew, JobUndecodable, Reference, decode, encode, first_job
from mousetrap.pipeline import Payload


def a_job(payload: bytes = b'{"n":1}') -> Job:
    """A job of format 2; `test_envelope` has those of format 5."""
    return first_job(run_id="run1", pipeline="sums", stage="add", payload=payload, accepted_ms=5, v=2)


def test_a_job_comes_back_as_it_was_sent() -> None:
    job = a_job()

    assert decode(encode(job)) == job
    assert bytes(decode(encode(job)).payload) == b'{"n":1}'


def test_the_same_step_of_the_same_run_has_the_same_id_and_no_other_has() -> None:
    one = a_job()
    child, same = one.following("double", b"2"), a_job().following("double", b"3")

    assert child.id == same.id
    assert len({one.id, child.id, child.following("double", b"2").id, one.following("halve", b"2").id}) == 4
    assert child.parent == one.id


def test_a_job_s_id_is_a_uuid_that_any_language_can_make_again() -> None:
    namespace = uuid.UUID("6f3c1a52-0d0e-5a86-9f0b-7c1d2e4b8a90")

    child = a_job().following("double", b"2")

    assert a_job().id == uuid.uuid5(namespace, "run1|add|").hex
    assert child.id == uuid.uuid5(namespace, f"run1|double|{a_job().id}").hex


def test_another_attempt_is_the_same_job() -> None:
    again = a_job().again()

    assert (again.id, again.attempt) == (a_job().id, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"null",
        b'{"v":2}',
        encode(a_job()).replace(b'"v":2', b'"v":"2"'),
        encode(a_job()).replace(b'"attempt":1', b'"attempt":"1"'),
        encode(a_job())[:-1],
    ],
)
def test_what_is_not_our_envelope_is_refused(body: bytes) -> None:
    with pytest.raises(JobUndecodable):
        decode(body)


def test_a_job_of_the_first_wire_format_is_still_read() -> None:
    written = (
        b'{"v":1,"id":"j1","run_id":"run1","pipeline":"sums","stage":"add","parent":null,"attempt":3,'
        b'"accepted_ms":5,"payload":{"n":1}}'
    )

    job = decode(written)

    assert (job.id, job.attempt, job.generation, job.expires_ms) == ("j1", 3, 0, None)
    assert decode(encode(job.again())).v == 2


def test_a_job_of_a_later_wire_format_is_refused_with_advice() -> None:
    with pytest.raises(JobTooNew, match="wire format 7, and this version reads up to 6: upgrade this worker"):
        decode(encode(a_job()).replace(b'"v":2', b'"v":7'))


def test_a_job_with_a_reference_is_of_format_4_and_none_without_is() -> None:
    reference = Reference(key="run1/" + "a" * 64, sha256="a" * 64, size=70_000)
    referring = a_job().following("double", b"null", "msgpack", reference)

    assert decode(encode(referring)) == referring
    assert (referring.v, a_job().following("double", b"2").v) == (4, 2)
    for later in (referring.again(), referring.redriven(accepted_ms=7), a_job().referring(reference)):
        assert (later.v, later.reference, later.payload) == (4, reference, msgspec.Raw(b"null"))
    whole = referring.resolved(b'"gQ=="')
    assert (whole.v, whole.reference, whole.written) == (3, msgspec.UNSET, Payload(b'"gQ=="', "msgpack"))
    assert (referring.edited(b"3").v, referring.edited(b"3").reference) == (2, msgspec.UNSET)


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "/etc/passwd", "run1/../other/x", "run1/x/y", "run1", r"run1/x\n"]
)
def test_a_reference_that_leads_elsewhere_is_no_job_of_ours(key: str) -> None:
    referring = a_job().referring(Reference(key="KEY", sha256="a" * 64, size=1))

    with pytest.raises(JobUndecodable, match=r"reference\.key"):
        decode(encode(referring).replace(b"KEY", key.encode()))


def test_a_job_in_json_is_written_as_before_and_one_in_another_form_names_its_serializer() -> None:
    plain = a_job().following("double", b"2")
    packed = a_job().following("double", b'"gQ=="', "msgpack")

    assert b"serializer" not in encode(plain)
    assert b'"v":2' in encode(plain)
    assert b'"v":3' in encode(packed)
    assert b'"serializer":"msgpack"' in encode(packed)
    assert decode(encode(packed)).written == Payload(b'"gQ=="', "msgpack")
    assert plain.written == Payload(b"2")
    for later in (packed.again(), packed.redriven(accepted_ms=7)):
        assert (later.v, later.serializer) == (3, "msgpack")


def test_an_edited_job_is_json_again() -> None:
    edited = a_job().following("double", b'"gQ=="', "msgpack").edited(b"3")

    assert (edited.v, edited.written) == (2, Payload(b"3"))
    assert decode(encode(edited)) == edited


def test_an_earlier_version_refuses_what_it_cannot_read_as_too_new() -> None:
    """As that version's own struct has it: it would take the base64 text of a payload for a value."""

    class Earlier(msgspec.Struct):
        v: Literal[1, 2]
        payload: msgspec.Raw

    msgspec.json.decode(encode(a_job().following("double", b"2")), type=Earlier)
    with pytest.raises(msgspec.ValidationError, match=r"\$\.v"):
        msgspec.json.decode(encode(a_job().following("double", b'"gQ=="', "msgpack")), type=Earlier)


def test_a_run_s_time_to_live_goes_with_each_of_its_jobs() -> None:
    job = first_job(
        run_id="run1", pipeline="sums", stage="add", payload=b"1", accepted_ms=5, expires_ms=1_000
    )

    assert job.again().expires_ms == job.following("double", b"2").expires_ms == 1_000


def test_a_job_that_comes_back_from_the_dead_letters_counts_from_one_again() -> None:
    redriven = a_job().again().redriven(accepted_ms=7)

    assert (redriven.id, redriven.attempt, redriven.generation, redriven.accepted_ms) == (a_job().id, 1, 1, 7)


@pytest.mark.parametrize(
    "field", ["attempt", "generation", "accepted_ms", "expires_ms", "id", "run_id", "parent"]
)
@pytest.mark.parametrize(
    "text", ["-1", "-0.5", "1e400", "NaN", "1.0", '"1"', "true", "[]", "1e15", str(10**15), '""']
)
def test_a_number_or_name_that_no_job_can_have_is_refused_with_its_place(field: str, text: str) -> None:
    whole = msgspec.json.decode(encode(a_job()))
    whole |= {field: msgspec.Raw(text.encode())}
    if text == '"1"' and field in ("id", "run_id", "parent"):
        assert getattr(decode(msgspec.json.encode(whole)), field) == "1"
        return

    with pytest.raises(JobUndecodable, match=rf"\$\.{field}|malformed|out of range"):
        decode(msgspec.json.encode(whole))


@given(st.binary(max_size=300))
def test_no_bytes_whatever_do_more_than_be_refused(body: bytes) -> None:
    with pytest.raises(JobUndecodable):
        decode(body)
