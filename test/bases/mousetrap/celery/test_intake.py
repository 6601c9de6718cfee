"""A message is acknowledged once its run is kept."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
import pytest

from mousetrap.celery.arrived import FROM_CELERY
from mousetrap.celery.intake import Intake
from mousetrap.celery.passing import Passing
from mousetrap.celery_messages import Declared, NotUnderstood, Signature, wire_of
from mousetrap.client import UnknownRun
from mousetrap.job_queue import ForeignDelivery, ForeignMessage
from mousetrap.jobs import RecordDamaged, StoreUnreachable, Unroutable
from mousetrap.payloads import PayloadTooLarge
from mousetrap.pipeline import Pipeline, Stage, write
from mousetrap.run_store import RunConflict

RESIZE = Pipeline(
    name="resize",
    description="Resizes.",
    stages=(Stage(name="resize", queue="resize", input=int, output=int),),
)
FOLLOWED = Signature(task="t.resize", args=(3,), id="an-id", callbacks=({"task": "t.next"},))


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.celery.intake._FINISH_S", 60.0)


@dataclass
class Channel:
    """A channel of the broker."""

    is_open: bool = True
    acknowledged: list[int] = field(default_factory=list)

    def basic_ack(self, tag: int) -> None:
        self.acknowledged.append(tag)


@dataclass
class Client:
    """Keeps what is submitted, or raises the errors in turn."""

    errors: list[Exception | None] = field(default_factory=list)
    submitted: list[tuple[str, Any, dict[str, Any]]] = field(default_factory=list)

    async def submit(self, pipeline: Pipeline, input: Any, **options: Any) -> Any:
        await asyncio.sleep(0)
        if self.errors and (error := self.errors.pop(0)):
            raise error
        write(input, pipeline.first.input)  # as the client does: it raises ContractBroken
        self.submitted.append((pipeline.name, input, options))
        return msgspec.defstruct("Run", [("id", str)])(options["id"])

    def run(self, run_id: str) -> Any:
        raise UnknownRun(run_id)


class Pipelines:
    async def named(self, _name: str) -> Pipeline:
        return RESIZE


async def taken(client: Client, sent: Signature | ForeignMessage, channel: Channel | None = None) -> Channel:
    """The channel, once the message was looked at."""
    channel = channel or Channel()
    passing = Passing(
        Declared(tasks={"t.resize": "resize"}), cast(Any, client), cast(Any, Pipelines()), cast(Any, None)
    )
    intake = Intake(passing)
    if isinstance(sent, Signature):
        wire = wire_of(sent)
        sent = ForeignMessage(body=wire.body, headers=wire.headers, priority=sent.priority)
    intake.receive(ForeignDelivery("celery", sent, channel, 7))
    await intake.finish()
    return channel


async def test_a_call_starts_a_run_under_its_id() -> None:
    client = Client()

    channel = await taken(client, Signature(task="t.resize", args=(3,), id="an-id"))

    ((pipeline, given, options),) = client.submitted
    assert (pipeline, given, options["id"], options["tags"]) == ("resize", 3, "an-id", ("celery:an-id",))
    assert channel.acknowledged == [7]


async def test_an_id_that_no_run_can_have_gives_the_same_run_each_time() -> None:
    client = Client()

    for _ in range(2):
        await taken(client, Signature(task="t.resize", args=(3,), id="user:42/é"))

    first, again = (options["id"] for _, _, options in client.submitted)
    assert first == again


async def test_until_its_run_is_accepted_a_message_is_kept() -> None:
    client = Client([StoreUnreachable("away"), StoreUnreachable("away")])

    channel = await taken(client, Signature(task="t.resize", args=(3,), id="i"))

    assert len(client.submitted) == 1 and channel.acknowledged == [7]


async def test_a_message_whose_channel_is_lost_is_left_to_the_next_delivery() -> None:
    client = Client()

    channel = await taken(client, Signature(task="t.resize", id="i"), Channel(is_open=False))

    assert (client.submitted, channel.acknowledged) == ([], [])


async def test_a_time_to_begin_and_a_time_to_end_are_the_run_s() -> None:
    client, now = Client(), datetime.now(UTC)
    begin, end = now + timedelta(hours=1), now + timedelta(hours=2)

    await taken(client, Signature(task="t.resize", args=(3,), id="i", eta=begin, expires=end))

    ((_, _, options),) = client.submitted
    assert 3_000 < options["delay"] <= 3_600 < options["expires_in"] <= 7_200


async def test_a_message_s_priority_is_that_of_both_of_its_runs() -> None:
    client = Client()

    await taken(client, replace(FOLLOWED, priority=9))
    await taken(client, FOLLOWED)

    assert [(name, options["priority"]) for name, _, options in client.submitted] == [
        *(("resize", 9), (FROM_CELERY.name, 9)),
        *(("resize", 4), (FROM_CELERY.name, 4)),
    ]


@pytest.mark.parametrize("eta", [None, timedelta(hours=1)])
async def test_a_call_whose_time_is_over_is_dropped(
    eta: timedelta | None, caplog: pytest.LogCaptureFixture
) -> None:
    client, now = Client(), datetime.now(UTC)
    expires = now - timedelta(seconds=1) if eta is None else now + timedelta(minutes=30)

    channel = await taken(
        client, Signature(task="t.resize", args=(3,), id="i", eta=now + eta if eta else None, expires=expires)
    )

    assert (client.submitted, channel.acknowledged) == ([], [7])
    assert "task i (t.resize) is dropped: its time is over" in caplog.text


@pytest.mark.parametrize(
    "sent",
    [
        ForeignMessage(
            body=b"\x80\x04pickle",
            headers={"task": "t.resize", "id": "i"},
            content_type="application/x-python-serialize",
        ),
        ForeignMessage(body=b"{", headers={"task": "t.resize", "id": "i"}),
        ForeignMessage(body=b"hello", headers={}),
        Signature(task="t.unknown", id="i"),
        Signature(task="t.resize", id="i", args=("no number",)),
        Signature(task="t.resize", id="i", args=(1, 2, 3)),
        Signature(task="t.resize", id="i", args=(1,), chain=({"task": "t.a", "subtask_type": "chord"},)),
        Signature(
            task="t.resize",
            id="i",
            args=(1,),
            callbacks=({"task": "g", "subtask_type": "group", "kwargs": {"tasks": 5}},),
        ),
    ],
)
async def test_what_is_not_done_at_once_is_a_run_of_from_celery(sent: Signature | ForeignMessage) -> None:
    client = Client()

    channel = await taken(client, sent)
    await taken(client, sent)

    (first, _, one), (_, _, again) = client.submitted
    assert first == FROM_CELERY.name
    assert one["id"] == again["id"]
    assert channel.acknowledged == [7]


async def test_a_call_that_something_follows_is_a_run_and_one_of_from_celery() -> None:
    client = Client()

    channel = await taken(client, FOLLOWED)

    assert [name for name, _, _ in client.submitted] == ["resize", FROM_CELERY.name]
    assert channel.acknowledged == [7]


async def test_a_message_is_kept_until_both_of_its_runs_are_accepted() -> None:
    client = Client([None, StoreUnreachable("away")])

    channel = await taken(client, FOLLOWED)

    assert [name for name, _, _ in client.submitted] == ["resize", "resize", FROM_CELERY.name]
    assert channel.acknowledged == [7]


async def test_the_same_id_with_another_content_is_kept_beside_the_first() -> None:
    client = Client([None, RunConflict("another")])

    channel = await taken(client, FOLLOWED)

    (_, (pipeline, _, _)) = client.submitted
    assert pipeline == FROM_CELERY.name and channel.acknowledged == [7]


@pytest.mark.parametrize(
    "error",
    [
        TypeError("a defect"),
        PayloadTooLarge("the input"),
        RecordDamaged("of this run"),
        Unroutable("no queue"),
    ],
)
async def test_what_a_repeat_would_meet_again_is_a_run_of_from_celery_and_holds_up_nothing(
    error: Exception,
) -> None:
    client = Client([error])

    channel = await taken(client, Signature(task="t.resize", args=(3,), id="i"))

    assert [name for name, _, _ in client.submitted] == [FROM_CELERY.name]
    assert channel.acknowledged == [7]


async def test_a_message_that_is_too_large_to_keep_is_a_dead_letter_with_the_start_of_its_body() -> None:
    client = Client([PayloadTooLarge("the input"), PayloadTooLarge("the message")])

    channel = await taken(client, Signature(task="t.resize", args=("x" * 5_000,), id="i"))

    ((pipeline, kept, _),) = client.submitted
    assert (pipeline, channel.acknowledged) == (FROM_CELERY.name, [7])
    assert len(kept.body) == 1_000
    with pytest.raises(
        NotUnderstood, match="too large to keep, and 1000 are left: raise MOUSETRAP_PAYLOAD_MAX_BYTES"
    ):
        _ = kept.call
