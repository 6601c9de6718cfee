"""A job of format 5 has its payload beside its head."""

import re
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mousetrap.jobs import (
    DEFAULT_PRIORITY,
    MAX_CHILDREN,
    Job,
    JobTooNew,
    JobUndecodable,
    PayloadAltered,
    Place,
    Reference,
    TraceContext,
    decode,
    encode,
    first_job,
    new_runs,
    signed_message,
)
from mousetrap.jobs.envelope import MARK, MAX_HEAD_BYTES
from mousetrap.pipeline import Payload
from mousetrap.signing import Keyring, SignatureRefused

REFERENCE = Reference(key="run1/" + "a" * 64, sha256="a" * 64, size=70_000)
PARENT, LINK = (f"00-{digit * 32}-{digit * 16}-01" for digit in "ab")
KEYRING = Keyring.parse("k1:0123456789abcdef")
#: Both kinds of runs, by the format that their jobs have at least.
KINDS: tuple[Literal[2, 5], ...] = (2, 5)


def a_job(v: Literal[2, 5] = 5, **more: Any) -> Job:
    given: dict[str, Any] = {"payload": b'{"n":1}', "accepted_ms": 5, **more}
    return first_job(run_id="run1", pipeline="sums", stage="add", v=v, **given)


def a_child(v: Literal[2, 5] = 5, payload: bytes = b"2", *more: Any) -> Job:
    return a_job(v).following("double", payload, *more, fence=3)


def test_a_run_begins_with_a_job_of_format_5_and_one_that_began_before_stays_of_its_own() -> None:
    started = first_job(
        run_id="r", pipeline="p", stage="s", payload=b"null", accepted_ms=0, reference=REFERENCE
    )

    assert (new_runs(), started.v, a_job(2).v) == (5, 5, 2)


@pytest.mark.parametrize("v", KINDS)
@pytest.mark.parametrize(
    "more", [(), ("msgpack",), (msgspec.UNSET, REFERENCE), ("msgpack", REFERENCE)], ids=str
)
def test_a_job_comes_back_as_it_was_sent(v: Literal[2, 5], more: tuple[Any, ...]) -> None:
    payload = b"null" if len(more) == 2 else b'"gQ=="' if more else b"2"
    child = a_child(v, payload, *more)

    for job in (a_job(v), child, child.again(), child.redriven(accepted_ms=7), child.edited(b"3")):
        assert decode(encode(job)) == job


def test_the_body_is_a_mark_the_head_a_line_feed_and_the_payload_as_it_is() -> None:
    body = encode(a_child(payload=b'{"text": "two\\nlines"}'))
    head, _, payload = body[1:].partition(b"\n")

    assert (body[:1], payload) == (MARK, b'{"text": "two\\nlines"}')
    assert msgspec.json.decode(head) == {
        "v": 5,
        "id": a_child().id,
        "run_id": "run1",
        "pipeline": "sums",
        "stage": "double",
        "parent": a_job().id,
        "parent_fence": 3,
        "accepted_ms": 5,
    }


def test_a_child_is_of_its_parent_s_kind_and_only_one_of_format_5_has_its_fence() -> None:
    assert (a_child(5).v, a_child(5).parent_fence) == (5, 3)
    assert (a_child(2).v, a_child(2).parent_fence) == (2, msgspec.UNSET)
    assert b"parent_fence" not in encode(a_child(2))
    assert a_child(5).id == a_child(2).id


def test_what_repeats_a_job_keeps_the_fence_of_its_parent() -> None:
    child = a_child()

    repeats = (child.again(), child.redriven(accepted_ms=7), child.edited(b"3"), child.referring(REFERENCE))

    assert {(it.v, it.parent_fence) for it in repeats} == {(5, 3)}


def test_the_bytes_of_a_serializer_go_as_they_are() -> None:
    child = a_child(5, b'"gQ=="', "msgpack")

    assert encode(child).endswith(b"\n\x81")
    assert child.written == Payload(b"\x81", "msgpack", is_text=False)
    assert a_child(2, b'"gQ=="', "msgpack").written == Payload(b'"gQ=="', "msgpack")
    assert decode(encode(a_child(5, b'""', "empty"))).written == Payload(b"", "empty", is_text=False)


def test_an_output_that_is_no_base64_goes_on_as_it_is() -> None:
    assert bytes(a_child(5, b'"?"', "msgpack").payload) == b'"?"'


def test_a_job_with_a_reference_has_nothing_behind_its_head() -> None:
    referring = a_child(5, b"null", "msgpack", REFERENCE)

    assert encode(referring).endswith(b"\n")
    assert decode(encode(referring)).payload == msgspec.Raw(b"null")
    whole = referring.resolved(b'"gQ=="')
    assert (whole.v, whole.reference, bytes(whole.payload)) == (5, msgspec.UNSET, b"\x81")
    assert bytes(a_job().referring(REFERENCE).resolved(b"[1]").payload) == b"[1]"
    with pytest.raises(PayloadAltered, match="is not what was put"):
        referring.resolved(b"gQ")


def test_for_people_a_job_is_json_of_an_earlier_format() -> None:
    for job in (a_job(), a_child(), a_child(5, b'"gQ=="', "msgpack"), a_child(5, b"null", "x", REFERENCE)):
        shown = decode(encode(job.as_json()))
        assert (shown.id, shown.parent, shown.serializer) == (job.id, job.parent, job.serializer)
        assert encode(shown)[:1] == b"{"
    assert a_child(5, b'"gQ=="', "msgpack").as_json().written == Payload(b'"gQ=="', "msgpack")
    assert a_child(2).as_json() == a_child(2)


def test_jobs_of_earlier_formats_have_no_field_that_those_did_not_have() -> None:
    fields = msgspec.json.decode(encode(a_child(2)))

    later = {"fans", "parent_fence", "serializer", "reference", "trace", "priority"}
    assert set(fields) == set(Job.__struct_fields__) - later


@pytest.mark.parametrize("v", [2, 5])
def test_a_trace_goes_with_the_job_and_with_all_that_follows_from_it(v: Literal[2, 5]) -> None:
    trace = TraceContext(PARENT, "vendor=1", LINK)
    job = msgspec.structs.replace(a_job(v), trace=trace)

    for each in (job, job.again(), job.edited(b"3"), job.following("double", b"2", fence=7)):
        assert decode(encode(each)).trace == trace
    redriven = decode(encode(job.redriven(accepted_ms=7)))
    assert redriven.trace == TraceContext(link=LINK)
    assert msgspec.structs.replace(job, trace=TraceContext(PARENT)).redriven(7).trace == TraceContext(
        link=PARENT
    )


@pytest.mark.parametrize("v", [2, 5])
def test_a_priority_goes_with_the_job_and_with_all_that_follows_from_it(v: Literal[2, 5]) -> None:
    job = msgspec.structs.replace(a_job(v), priority=7, trace=TraceContext(PARENT))
    child = job.child("double", b"2", index=0, fence=7)
    following = [
        job.again(),
        job.redriven(accepted_ms=7),
        job.edited(b"3"),
        job.referring(REFERENCE),
        job.referring(REFERENCE).resolved(b"3"),
        job.following("double", b"2", fence=7),
        *([child, child.joined("double", b"2", fence=7)] if v == 5 else []),
    ]

    for each in (job, *following):
        assert decode(encode(each)).priority == 7
        assert signed_message(each, KEYRING).priority == 7
    assert decode(encode(job)) == job


@pytest.mark.parametrize("v", [2, 5])
def test_a_default_priority_is_not_in_the_message(v: Literal[2, 5]) -> None:
    assert b"priority" not in encode(a_job(v))
    assert signed_message(a_job(v), KEYRING).priority == DEFAULT_PRIORITY


@pytest.mark.parametrize("priority", [-1, 10, 5.5, "high", None])
@pytest.mark.parametrize("v", [2, 5])
def test_a_priority_that_is_none_of_the_ten_is_no_job_of_ours(v: Literal[2, 5], priority: object) -> None:
    body = encode(msgspec.structs.replace(a_job(v), priority=7))
    written = body.replace(b'"priority":7', b'"priority":' + msgspec.json.encode(priority))

    with pytest.raises(JobUndecodable, match="priority"):
        decode(written)


@pytest.mark.parametrize("v", [2, 5])
def test_a_version_that_knows_no_trace_reads_past_it(v: Literal[2, 5]) -> None:
    body = encode(msgspec.structs.replace(a_job(v), trace=TraceContext(PARENT)))

    later = body.replace(b'"trace":', b'"of a later version":')

    assert later != body
    assert decode(later) == a_job(v)


def test_without_a_trace_a_message_is_as_it_was() -> None:
    assert b"trace" not in encode(a_job()) + encode(a_child()) + encode(a_job(2))


def test_the_payload_is_not_checked() -> None:
    assert bytes(decode(encode(a_job(payload=b"{no json"))).payload) == b"{no json"


def test_a_large_payload_is_not_copied() -> None:
    body = bytearray(encode(a_job(payload=b"{no json" * 2_048)))

    payload = decode(body).payload  # type: ignore[arg-type]  # bytes that can be changed show what is a view of them
    body[-1:] = b"!"

    assert bytes(payload).endswith(b"{no json{no jso!")


def test_the_signature_is_over_head_and_payload() -> None:
    message = signed_message(a_job(), KEYRING)

    KEYRING.verify(message.body, message.headers)
    assert decode(message.body) == a_job()
    for changed in (message.body[:-1] + b"]", message.body.replace(b"add", b"sub"), message.body + b" "):
        with pytest.raises(SignatureRefused):
            KEYRING.verify(changed, message.headers)


def with_head(**changed: Any) -> bytes:
    head, _, payload = encode(a_child())[1:].partition(b"\n")
    fields = {**msgspec.json.decode(head), **changed}
    kept = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
    return MARK + msgspec.json.encode(kept) + b"\n" + payload


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (MARK, "no line feed ends its head"),
        (encode(a_job()).partition(b"\n")[0], "no line feed ends its head"),
        (MARK + b" " * MAX_HEAD_BYTES + b" \n1", f"its head is longer than {MAX_HEAD_BYTES} bytes"),
        (MARK + b" " * 100_000, f"its head is longer than {MAX_HEAD_BYTES} bytes"),
        (MARK + b" " * MAX_HEAD_BYTES + b"\n1", "Input data was truncated"),
        (MARK + b"\n{}", "Input data was truncated"),
        (MARK + b"{}\n{}", "required field `id`"),
        (encode(a_job()).partition(b"\n")[0] + b"\n", "the payload is missing"),
        (with_head(reference=msgspec.to_builtins(REFERENCE)), "a reference, and 1 bytes of a payload"),
        (with_head(v=2), "its head is of wire format 2, whose messages have none"),
        (with_head(v=msgspec.UNSET), "its head is of wire format 2, whose messages have none"),
        (with_head(v=6), "a job in fans is of wire format 6, and no other is"),
        (with_head(fans=[["j1", 0]]), "a job in fans is of wire format 6, and no other is"),
        (with_head(v=6, fans=[["j1", -1]]), r"\$\.fans\[0\]\[1\]"),
        (with_head(v=6, fans=[["j1", 0]] * 4), r"\$\.fans"),
        (with_head(v=6, fans=[["j1"]]), r"\$\.fans\[0\]"),
        (with_head(v=0), r"Invalid enum value 0 - at `\$\.v`"),
        (with_head(parent_fence=msgspec.UNSET), "has `parent` and `parent_fence`, or neither"),
        (with_head(parent=None), "has `parent` and `parent_fence`, or neither"),
        (with_head(parent_fence=0), r"\$\.parent_fence"),
        (with_head(parent_fence=2**32), r"\$\.parent_fence"),
        (encode(a_job(2)).replace(b'"v":2', b'"v":5'), "begins with a head, and this is JSON alone"),
        (b" " + encode(a_job()), "malformed"),
    ],
)
def test_what_is_no_message_of_ours_is_refused_with_its_own_reason(body: bytes, why: str) -> None:
    with pytest.raises(JobUndecodable, match=why) as refused:
        decode(body)

    assert not isinstance(refused.value, JobTooNew)
    assert "run1" not in str(refused.value)


def test_a_head_of_a_later_wire_format_is_refused_with_advice() -> None:
    with pytest.raises(JobTooNew, match="wire format 7, and this version reads up to 6: upgrade this worker"):
        decode(with_head(v=7, stage={"of": "a later kind"}))


def test_every_field_at_its_limit_leaves_room_in_the_head() -> None:
    job = msgspec.structs.replace(
        a_child(5, b"null", "\0" * 63, REFERENCE),
        **dict.fromkeys(("id", "pipeline", "stage", "parent"), "\0" * 63),
        run_id="\0" * 64,
        parent_fence=2**32 - 1,
        accepted_ms=253_402_300_799_999,
        expires_ms=253_402_300_799_999,
        attempt=100_000_000,
        generation=1_000_000,
        v=6,
        fans=(Place("\0" * 63, MAX_CHILDREN - 1),) * 3,
        trace=TraceContext("\0" * 55, "\0" * 512, "\0" * 55),
    )

    body = encode(job)

    assert decode(body) == job
    assert len(body) < MAX_HEAD_BYTES


def test_a_child_is_of_format_6_with_its_place_and_is_the_same_job_whenever_it_is_made() -> None:
    parent = a_job()
    child = parent.child("double", b"2", index=3, fence=7)

    assert (child.v, child.fans, child.parent, child.parent_fence) == (
        6,
        (Place(parent.id, 3),),
        parent.id,
        7,
    )
    assert child.fans[-1].index == 3
    assert child.id == parent.child("double", b"9", index=3, fence=8).id
    keyed = parent.child("double", b"2", index=3, key="3", fence=7)
    assert keyed.id == parent.child("double", b"2", index=4, key="3", fence=7).id
    others = (parent.child("double", b"2", index=4, fence=7), parent.following("double", b"2", fence=7))
    assert len({child.id, keyed.id, *(other.id for other in others)}) == 4
    for job in (child, child.again(), child.redriven(accepted_ms=7), child.edited(b"3"), keyed):
        assert decode(encode(job)) == job
        assert job.v == 6
    assert b'"v":6' in encode(child)
    assert b"fans" not in encode(parent.following("double", b"2", fence=7))


def test_what_follows_a_child_is_in_the_same_fans_and_their_join_in_one_fewer() -> None:
    parent = a_job()
    child = parent.child("split", b"2", index=3, fence=7)
    inner = child.following("halve", b"1", fence=2).child("double", b"1", "msgpack", index=0, fence=4)

    assert [place.index for place in inner.fans] == [3, 0]
    joined = inner.joined("sum", b"[1]", fence=5)
    assert (joined.v, joined.fans, joined.parent, joined.parent_fence) == (6, child.fans, inner.parent, 5)
    last = joined.joined("total", b"[1]", fence=9)
    assert (last.v, last.fans, last.parent, last.parent_fence) == (5, (), parent.id, 9)
    assert last == inner.joined("total", b"[1]", fan=parent.id, fence=9)
    assert last == parent.following("total", b"[1]", fence=9)
    assert last == parent.joined("total", b"[1]", fan=parent.id, fence=9)
    for job in (inner, joined, last, inner.referring(REFERENCE).resolved(b'"gQ=="')):
        assert decode(encode(job)) == job


def test_a_version_without_fans_refuses_a_child_as_too_new() -> None:
    """As the struct of that version has it."""

    class Earlier(msgspec.Struct):
        v: Literal[1, 2, 3, 4, 5]

    head, _, _ = encode(a_job().child("double", b"2", index=0, fence=1))[1:].partition(b"\n")

    with pytest.raises(msgspec.ValidationError, match=r"\$\.v"):
        msgspec.json.decode(head, type=Earlier)


def test_an_earlier_version_refuses_a_job_of_format_5_as_no_json() -> None:
    """As that version reads any message: the whole body as one JSON value."""
    with pytest.raises(msgspec.DecodeError, match=re.escape("invalid character (byte 0)")):
        msgspec.json.decode(encode(a_job()))


#: All that `str.isprintable` accepts; drawn as such, for of any texts hypothesis would throw most away.
_PRINTABLE = st.characters(exclude_categories=("C", "Z"), include_characters=" ")
names = st.text(_PRINTABLE, min_size=1, max_size=63)
places = st.lists(st.builds(Place, names, st.integers(0, MAX_CHILDREN - 1)), max_size=3).map(tuple)
jobs = st.builds(
    lambda fans, **more: Job(v=6 if fans else 5, fans=fans, **more),
    fans=places,
    id=names,
    run_id=names,
    pipeline=names,
    stage=names,
    parent=names,
    parent_fence=st.integers(1, 2**32 - 1),
    attempt=st.integers(1, 100_000_000),
    generation=st.integers(0, 1_000_000),
    accepted_ms=st.integers(0, 253_402_300_799_999),
    expires_ms=st.none() | st.integers(0, 253_402_300_799_999),
    serializer=st.just(msgspec.UNSET) | names,
    payload=st.binary(min_size=1).map(msgspec.Raw),
)


@given(jobs)
def test_any_job_with_any_bytes_for_its_payload_comes_back(job: Job) -> None:
    assert decode(encode(job)) == job


@given(jobs)
@example(a_child())
def test_a_message_that_is_cut_anywhere_is_a_job_or_refused(job: Job) -> None:
    body = encode(job)
    head = body.index(b"\n")

    for end in range(len(body)):
        try:
            cut = decode(body[:end])
        except JobUndecodable:
            assert end <= head + 1
        else:
            assert msgspec.structs.replace(cut, payload=job.payload) == job


@given(jobs, st.data())
def test_a_message_with_any_bit_changed_is_a_job_or_refused(job: Job, data: st.DataObject) -> None:
    body = bytearray(encode(job))
    body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    try:
        changed = decode(bytes(body))
    except JobUndecodable:
        return
    assert decode(encode(changed)) == changed


@given(st.binary(max_size=300))
def test_no_bytes_whatever_behind_the_mark_do_more_than_be_refused(rest: bytes) -> None:
    with pytest.raises(JobUndecodable):
        decode(MARK + rest)
