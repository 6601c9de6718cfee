"""Encodes and decodes the packed records of runs and jobs.

A record is one string: a state byte (and a job's fence as eight hexadecimal digits), one line of JSON facts, and after a line
feed what the facts are about: a run's input, a job's verdict. Facts are flat: what is nested is JSON as text, so that Lua
keeps it as it is. A fact of no value (0, empty; the default priority) is not written. `lua/packed/records.lua` has the same codec.
"""

from typing import NamedTuple, TypeVar

import msgspec

from mousetrap.jobs import DEFAULT_PRIORITY, PAYLOAD_BESIDE, Job, new_runs
from mousetrap.run_store.keys import job_key, packed_job_key, packed_run_key, run_key

Facts = TypeVar("Facts")

#: The states of runs, by their first byte. A live run is queued: its job records have how far it is.
RUN_STATES = {
    "Q": "queued",
    "C": "completed",
    "F": "failed",
    "X": "cancelled",
    "E": "expired",
    "J": "rejected",
}
#: The first bytes of runs that were ended from outside: nothing follows from any outcome of theirs.
STOPPED = (b"X", b"E", b"J")
#: The states of jobs, by their first byte.
JOB_STATES = {
    "R": "running",
    "D": "done",
    "K": "dead",
    "T": "retrying",
    "O": "outage",
    "W": "waiting",
    "G": "redriven",
}
#: Bytes of a job record that hold its state and its fence.
HEAD = 9


class RecordBroken(ValueError):
    """The bytes are no record of ours."""


class RunFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a run. Times are in milliseconds since 1970; 0 and empty stand for none. Lua adds more facts."""

    pipeline: str = ""
    #: The stage that it began with.
    stage: str = ""
    accepted_ms: int = 0
    expires_ms: int = 0
    due_ms: int = 0
    #: The SHA-256 of its input; empty where the run was restored from a later job's message.
    digest: str = ""
    rerun_of: str = ""
    #: JSON: an array of texts.
    tags: str = ""
    #: Of its jobs. No signature is about it: their messages have it, which are signed.
    priority: int = DEFAULT_PRIORITY
    #: JSON: the TraceContext of its first job, where the run is traced. No signature is about it.
    trace: str = ""
    #: Of its opening: see `signed_records.sign_opening`.
    signature: str = ""
    #: JSON: a Reference.
    input_reference: str = ""
    #: Whether a claim opened it from its first job's message; the record of its submission, which comes later, completes it.
    restored: bool = False
    #: Of a run with a delay: whether its first job is known to be with the broker, so that a repeat publishes no copy.
    published: bool = False
    #: How many submissions of it hold.
    submitters: int = 1
    #: Only of a run that did not complete: a completed one ended when its last job was decided.
    finished_ms: int = 0
    #: JSON: a Failure without its traceback.
    failure: str = ""


class RunRecord(NamedTuple):
    """A run as it is recorded."""

    #: A value of RUN_STATES.
    state: str
    facts: RunFacts
    #: JSON; `null` where there is a reference.
    input: bytes


class JobFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a job. Times are in milliseconds since 1970; 0 and empty stand for none. Lua adds more facts."""

    stage: str = ""
    attempt: int = 1
    starts: int = 1
    generation: int = 0
    worker: str = ""
    claimed_ms: int = 0
    #: When the claim ends unless it is renewed.
    until_ms: int = 0
    #: When it last changed otherwise than by a claim.
    decided_ms: int = 0
    #: The stage that follows; of a done job empty where it was the run's last.
    next: str = ""
    #: Whether all its events are in the stream of the run; else they follow from this record.
    logged: bool = False
    #: A job that waits for its next attempt: when that is due.
    due_ms: int = 0
    #: Of a job in fans: the job whose children the outermost has. Its events are not in the timeline.
    fan: str = ""
    #: Whether the way through its innermost fan ended with it.
    joins: bool = False
    #: Whether it has children.
    opens: bool = False


class JobRecord(NamedTuple):
    """A job as it is recorded."""

    #: A value of JOB_STATES.
    state: str
    fence: int
    facts: JobFacts
    #: The signed outcome as JSON; empty where there is none. The last stage's holds the run's result.
    verdict: bytes


def is_packed(job: Job) -> bool:
    """Whether the store has packed records of the job and its run: since wire format 5."""
    return job.v >= PAYLOAD_BESIDE


def record_keys(job: Job) -> tuple[str, str]:
    """The keys of what the store keeps of a job and of its run."""
    if is_packed(job):
        return packed_job_key(job.run_id, job.id), packed_run_key(job.run_id)
    return job_key(job.id), run_key(job.run_id)


def packs_new_runs() -> bool:
    """Whether the runs that this version opens have packed records."""
    return new_runs() >= PAYLOAD_BESIDE


def encode_run(facts: RunFacts, input: bytes) -> bytes:
    """The record of a live run."""
    return b"Q%b\n%b" % (_encoder.encode(facts), input)


def decode_run(record: bytes) -> RunRecord:
    """The run in a record. Raises RecordBroken."""
    state = RUN_STATES.get(record[:1].decode("ascii", "replace"))
    facts, feed, input = record[1:].partition(b"\n")
    if state is None or not feed:
        raise RecordBroken("it is no record of a run")
    return RunRecord(state, _decoded(facts, _run_facts), input)


def encode_claim(fence: int, facts: JobFacts) -> bytes:
    """The record of a running job."""
    return b"R%08x%b" % (fence, _encoder.encode(facts))


def encode_done(fence: int, facts: JobFacts, verdict: bytes) -> bytes:
    """The record of a job that is done."""
    return b"D%08x%b\n%b" % (fence, _encoder.encode(facts), verdict)


def decode_job(record: bytes) -> JobRecord:
    """The job in a record. Raises RecordBroken."""
    state, fence = decode_head(record)
    facts, _, verdict = record[HEAD:].partition(b"\n")
    return JobRecord(state, fence, _decoded(facts, _job_facts), verdict)


def decode_head(record: bytes) -> tuple[str, int]:
    """The state and the fence of a job, from its record or that one's head. Raises RecordBroken."""
    state = JOB_STATES.get(record[:1].decode("ascii", "replace"))
    if state is None or len(record) < HEAD:
        raise RecordBroken("it is no record of a job")
    try:
        return state, int(record[1:HEAD], 16)
    except ValueError as error:
        raise RecordBroken("the fence of the job is no number") from error


_encoder = msgspec.json.Encoder()
_run_facts = msgspec.json.Decoder(RunFacts)
_job_facts = msgspec.json.Decoder(JobFacts)


def _decoded(text: bytes, decoder: msgspec.json.Decoder[Facts]) -> Facts:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordBroken(f"its facts cannot be read: {error}") from error
