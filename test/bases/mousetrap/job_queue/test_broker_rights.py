"""The rights of the deployment's RabbitMQ users: enough, and no more."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Literal

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from mousetrap.dead_letters import DeadLetters, Repaired, Selection
from mousetrap.job_queue import QueueOptions, connect, make_queues, open_channel
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.topology.declare import declare
from mousetrap.job_queue.topology.topology import topology
from mousetrap.jobs import Message, PublishUnconfirmed, Queue, QueueUnreachable
from mousetrap.retry import RetryPolicy
from mousetrap.run_store import open_store
from mousetrap.settings import Settings
from mousetrap.shapes import RunState
from support.inbox import Inbox, eventually
from support.rabbitmq import virtual_host
from support.rabbitmq_api import Broker
from support.rabbitmq_users import ROLES, Role, rights, user
from support.workbench import KEYRING, Workbench, a_pipeline, double

NOT_DECLARING = QueueOptions(declare=False, confirm_deadline=2.0)

Urls = dict[Role, str]


@contextmanager
def users(broker: Broker, url: str) -> Iterator[Urls]:
    """The address of a virtual host for each of the users."""
    with ExitStack() as opened:
        yield {role: opened.enter_context(user(broker, url, allowed)) for role, allowed in rights().items()}


@pytest.fixture
def urls(rabbitmq: Broker, broker_url: str) -> Iterator[Urls]:
    """The addresses of an empty virtual host."""
    with users(rabbitmq, broker_url) as urls:
        yield urls


@pytest.fixture(scope="module")
def migrated(rabbitmq: Broker) -> Iterator[Urls]:
    """The addresses of a virtual host with all queues, for tests that change nothing there."""
    with virtual_host(rabbitmq) as url, users(rabbitmq, url) as urls:
        migrate(urls, "work")
        yield urls


def migrate(urls: Urls, *queues: str, queue_type: str = "quorum") -> None:
    settings = {"MOUSETRAP_BROKER_URL": urls["migrate"], "MOUSETRAP_QUEUE_TYPE": queue_type}
    make_queues(Settings.from_environ({**settings, "MOUSETRAP_DECLARE": "false"}), queues)


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
async def test_a_run_fails_is_retried_given_up_redriven_and_completed_by_users_who_may_configure_nothing(
    urls: Urls, store_url: str, queue_type: Literal["quorum", "classic"]
) -> None:
    pipeline = a_pipeline(retry=RetryPolicy(attempts=2, base=0.2, cap=0.2))
    queues = [stage.queue for stage in pipeline.stages]
    options = QueueOptions(declare=False, queue_type=queue_type)
    repaired = asyncio.Event()

    async def add(number: int) -> int:
        if not repaired.is_set():
            raise ConnectionError("not repaired yet")
        return number + 1

    migrate(urls, *queues, queue_type=queue_type)
    migrate(urls, *queues, queue_type=queue_type)
    async with (
        open_store(store_url, retention=3600) as store,
        connect(urls["api"], queues, name="api", options=options) as asking,
        connect(urls["worker"], queues, name="worker", options=options) as working,
    ):
        api, worker = Workbench(asking, store, pipeline), Workbench(working, store, pipeline)
        letters = DeadLetters(asking, store, KEYRING, {pipeline.name: pipeline})
        async with worker.working(worker.bind("add", add), worker.bind("double", double)):
            run_id = await api.submit(b"20")
            assert (await api.ended(run_id)).state == RunState.FAILED
            await eventually(lambda: _runs_of(letters), [run_id])  # recorded first, published then
            assert await asking.count_ready(queues[0]) == 0

            repaired.set()
            redriven = await letters.redrive(Selection(), rate=1000, limit=1)
            assert redriven == Repaired(matched=1, done=1)
            await eventually(lambda: _result(api, run_id), 42)

        run = await store.get(run_id)
        assert run is not None
        assert [event.kind for event in run.timeline].count("retrying") == 1


async def _runs_of(letters: DeadLetters) -> list[str | None]:
    return [letter.run_id for letter in (await letters.look(Selection())).letters]


async def _result(bench: Workbench, run_id: str) -> object:
    run = await bench.store.get(run_id)
    return run and run.result


Act = Callable[[BlockingChannel], object]


def declare_a_queue(channel: BlockingChannel) -> None:
    channel.queue_declare("another", durable=True)


def delete_a_queue(channel: BlockingChannel) -> None:
    channel.queue_delete("work")


def lead_jobs_elsewhere(channel: BlockingChannel) -> None:
    channel.queue_bind("work.dead", "mousetrap.jobs", "work")


def publish_past_our_exchanges(channel: BlockingChannel) -> None:
    channel.basic_publish("", "work", b"{}", mandatory=True)


def take_a_job(channel: BlockingChannel) -> None:
    channel.basic_get("work")


def take_a_dead_letter(channel: BlockingChannel) -> None:
    channel.basic_get("work.dead")


def take_a_delayed_job(channel: BlockingChannel) -> None:
    channel.basic_get("mousetrap.delay.0")


NOBODYS = (
    declare_a_queue,
    delete_a_queue,
    lead_jobs_elsewhere,
    publish_past_our_exchanges,
    take_a_delayed_job,
)


@pytest.mark.parametrize(
    ("role", "act"),
    [
        *(("api", act) for act in (*NOBODYS, take_a_job)),
        *(("worker", act) for act in (*NOBODYS, take_a_dead_letter)),
        ("migrate", publish_past_our_exchanges),
    ],
)
def test_what_a_user_does_not_need_it_may_not(migrated: Urls, role: Role, act: Act) -> None:
    with pika.BlockingConnection(pika.URLParameters(migrated[role])) as connection:
        channel = connection.channel()
        channel.confirm_delivery()

        with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
            act(channel)


class PassiveChannel:
    """A fake channel that records passive declarations, and refuses all others."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def exchange_declare(self, name: str, _type: str, *, passive: bool) -> None:
        assert passive
        self.names.append(name)

    def queue_declare(self, name: str, *, passive: bool) -> None:
        assert passive
        self.names.append(name)


@pytest.mark.parametrize("role", ROLES)
def test_every_name_that_is_checked_is_one_on_which_the_user_has_some_right(role: Role) -> None:
    # RabbitMQ from 4.2.7 and 4.3.1 on shows only users with a right whether a name is there; earlier ones show all users.
    channel = PassiveChannel()
    declare(channel, topology(["start_fetch", "a-b_c1"], NOT_DECLARING))

    allowed = rights()[role].values()
    assert {"mousetrap.jobs", "mousetrap.delay.27", "start_fetch", "a-b_c1.dead"} < set(channel.names)
    assert [name for name in channel.names if not any(re.search(each, name) for each in allowed)] == []


async def test_a_process_that_may_not_declare_reports_what_is_missing_and_works_once_it_is_there(
    urls: Urls, caplog: pytest.LogCaptureFixture
) -> None:
    missing = "there is no exchange 'mousetrap.jobs': `mousetrap migrate` makes it"

    async with (
        connect(urls["api"], ["work"], name="api", options=NOT_DECLARING) as api,
        connect(urls["worker"], ["work"], name="worker", options=NOT_DECLARING) as worker,
    ):
        inbox = Inbox()
        await worker.consume("work", 10, inbox)
        for queue in (api, worker):
            await eventually(partial(_reports, queue, missing), True)
        with pytest.raises(QueueUnreachable, match=missing):
            await api.publish("work", Message("early", b"x"))

        await asyncio.to_thread(migrate, urls, "work")

        await eventually(partial(_publishes, api, "now"), True)
        assert await inbox.acknowledge(1) == ["now"]

    assert missing in caplog.text


async def test_a_right_to_publish_that_is_missing_is_reported_and_not_retried_hot(
    rabbitmq: Broker, urls: Urls, broker_url: str, caplog: pytest.LogCaptureFixture
) -> None:

    migrate(urls, "work")
    caplog.set_level("INFO")
    with user(rabbitmq, broker_url, {**rights()["api"], "write": "^$"}) as url:
        async with connect(url, ["work"], name="test", options=NOT_DECLARING) as queue:
            # Later RabbitMQs refuse it already when it looks.
            with pytest.raises((PublishUnconfirmed, QueueUnreachable)):
                await queue.publish("work", Message("1", b"x"))

    assert re.search("ACCESS_REFUSED - .*access to exchange 'mousetrap.jobs'", caplog.text)
    # In two seconds: about five by a pause that doubles, twenty by one that does not.
    assert caplog.text.count("can be used again") < 12


def test_a_broker_that_comes_back_without_what_is_needed_is_reported_a_second_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    status = BrokerStatus("broker:5672")
    away, missing = OSError("refused"), ChannelClosedByBroker(404, "NOT_FOUND - no queue 'work' in vhost 'v'")

    for why in (away, away, missing, missing, away, missing):
        status.lost("publish", why)

    logged = [record.message.partition(": ")[2] for record in caplog.records]
    assert [each.partition(": ")[0] for each in logged] == ["refused", "there is no queue 'work'"]


async def _publishes(queue: Queue, message_id: str) -> bool:
    """Whether a publish is confirmed, in the short time that it has here."""
    try:
        await queue.publish("work", Message(message_id, b"x"))
    except (PublishUnconfirmed, QueueUnreachable):
        return False
    return True


async def _reports(queue: Queue, missing: str) -> bool:
    """Whether a check fails for this reason; the first ones may fail since no connection is there yet."""
    try:
        await queue.check()
    except QueueUnreachable as error:
        return missing in str(error)
    return False


async def test_a_queue_that_is_deleted_is_not_made_again_by_those_who_may_not(
    urls: Urls, broker_url: str
) -> None:
    migrate(urls, "work")
    async with connect(urls["api"], ["work"], name="api", options=NOT_DECLARING) as api:
        await eventually(partial(_publishes, api, "1"), True)
        await asyncio.to_thread(_delete, broker_url, "work")

        with pytest.raises(QueueUnreachable, match=r"there is no queue 'work': `mousetrap migrate` makes"):
            await api.publish("work", Message("2", b"x"))


def _delete(url: str, queue: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().queue_delete(queue)


def test_a_script_that_may_not_declare_sees_what_is_missing(urls: Urls) -> None:
    with pytest.raises(QueueUnreachable, match=r"there is no exchange 'mousetrap.jobs': `mousetrap migrate`"):
        open_channel(urls["worker"], ["work"], options=NOT_DECLARING)
    migrate(urls, "other")

    with pytest.raises(QueueUnreachable, match=r"there is no queue 'work': `mousetrap migrate`"):
        open_channel(urls["worker"], ["work"], options=NOT_DECLARING)


def test_declaring_without_the_right_shows_where_the_rights_are_listed(urls: Urls) -> None:
    with pytest.raises(QueueUnreachable, match=r"ACCESS_REFUSED .* as docs/broker-rights\.md lists them"):
        open_channel(urls["worker"], ["work"], options=QueueOptions())
