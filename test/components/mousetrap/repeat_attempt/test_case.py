"""A case has its job as JSON, whatever the format."""

import json
from typing import Any, Literal

import msgspec
import pytest

from mousetrap.dead_letters import line
from mousetrap.dead_letters.letter import read_letter
from mousetrap.jobs import Job, Reference, decode, encode, first_job, signed_message
from mousetrap.pipeline import Payload
from mousetrap.repeat_attempt import Case, case_of_letter
from mousetrap.repeat_attempt.source import job_source
from support.workbench import KEYRING

REFERENCE = Reference(key="r1/" + "a" * 64, sha256="a" * 64, size=70_000)
#: msgpack of {"n": 1}, and its base64 text in JSON.
WRITTEN, TEXT = b"\x81\xa1n\x01", b'"gaFuAQ=="'


def child(v: Literal[2, 5], *more: Any, payload: bytes = b'{"n":1}') -> Job:
    first = first_job(run_id="r1", pipeline="sums", stage="add", payload=b"1", accepted_ms=1, v=v)
    return first.following("double", payload, *more, fence=3)


def exported(job: Job, payload: bytes | None = None) -> bytes:
    return line(read_letter(signed_message(job, KEYRING), "q", KEYRING), payload)


def case(job: Job, payload: bytes | None = None) -> Case:
    return case_of_letter(exported(job, payload))


@pytest.mark.parametrize("v", [2, 5])
@pytest.mark.parametrize(
    ("job", "payload"),
    [
        ((), None),
        (("msgpack",), None),
        ((msgspec.UNSET, REFERENCE), b'{"n":1}'),
        (("msgpack", REFERENCE), TEXT),
    ],
    ids=["json", "msgpack", "reference", "msgpack by reference"],
)
def test_a_case_has_its_input_as_json(v: Literal[2, 5], job: tuple[Any, ...], payload: bytes | None) -> None:
    text = {0: b'{"n":1}', 1: TEXT}.get(len(job), b"null")

    found = case(child(v, *job, payload=text), payload).job

    assert (found.v, found.serializer, json.loads(bytes(found.payload))) == (2, msgspec.UNSET, {"n": 1})
    assert (found.id, found.parent) == (child(v).id, child(v).parent)
    assert decode(encode(found)) == found


@pytest.mark.parametrize("v", [2, 5])
def test_what_a_custom_serializer_wrote_is_base64_text_in_a_case(v: Literal[2, 5]) -> None:
    found = case(child(v, "mine", payload=TEXT)).job

    assert (found.v, found.written) == (3, Payload(TEXT, "mine"))
    assert "payload=PAYLOAD" in job_source(found, "PAYLOAD")


def test_an_export_has_the_message_of_format_5_byte_for_byte() -> None:
    plain, packed = child(5), child(5, "mine", payload=b'"/w=="')

    assert json.loads(exported(plain))["body"].encode() == encode(plain)
    assert encode(plain).endswith(b'\n{"n":1}')
    assert "body_base64" in json.loads(exported(packed))
    assert case(packed).job.written == Payload(b'"/w=="', "mine")
