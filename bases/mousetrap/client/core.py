"""What both clients do: opens the backend once, and starts runs."""

import asyncio
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from mousetrap.client.backend import Backend, Begun, Message, Submission
from mousetrap.client.errors import ClientClosed
from mousetrap.client.forks import leave_after_fork
from mousetrap.client.handle import AsyncHandle
from mousetrap.client.options import new_id
from mousetrap.client.targets import DEFAULTS, Aim, Target, aim_of, input_of
from mousetrap.jobs import PublishUnconfirmed, QueueUnreachable, StoreUnreachable
from mousetrap.pipeline import ContractBroken, write
from mousetrap.submit_run import Accepted, OptionInvalid, PublishOptions, StartOptions, read_options

R = TypeVar("R")

_UNCLOSED = (
    "an AsyncClient was not closed: write `async with AsyncClient() as client`, or await client.close()"
)


@dataclass(frozen=True, slots=True)
class Submitted(Generic[R]):
    """What became of one input of many: its run, or the error that it met."""

    #: The run's id, also beside an error: submit the input with it again, which is safe. Empty beside the error of an input
    #: with a unique key, which makes the id: repeat it with that key.
    id: str
    run: R | None = None
    error: Exception | None = None


class Core:
    """A backend that opens with its first use, in the event loop and the process that it then belongs to."""

    def __init__(self, opener: Callable[[], AbstractAsyncContextManager[Backend]]) -> None:
        self._opener = opener
        self._opening: asyncio.Future[Backend] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._closed = False
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None

    async def backend(self) -> Backend:
        """The open backend. Raises ClientClosed after `close`, and in another process or event loop."""
        here = (os.getpid(), asyncio.get_running_loop())
        if self._closed:
            raise ClientClosed("this client was closed: open another")
        self._home = self._home or here
        if self._home[0] != here[0]:
            raise ClientClosed(
                f"this client was opened in process {self._home[0]}, before the fork: open another in this one, "
                "or use Client, which does so by itself"
            )
        if self._home[1] is not here[1]:
            raise ClientClosed("this client belongs to another event loop: open one in each, or use Client")
        if self._opening is None:
            leave_after_fork(self)
            self._opening = here[1].create_future()
            self._keeping = asyncio.create_task(self._keep(self._opening))
        return await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Closes the connections. Runs go on."""
        self._closed = True
        if self._opening is None or self._home != (os.getpid(), asyncio.get_running_loop()):
            return
        self._opening = None
        self._closing.set()
        if self._keeping is not None:
            await self._keeping

    async def _keep(self, opening: "asyncio.Future[Backend]") -> None:
        """Holds the backend open until it is closed, or its event loop ends, which cancels this task before all else."""
        opened = AsyncExitStack()
        try:
            opening.set_result(await opened.enter_async_context(self._opener()))
        except Exception as error:  # noqa: BLE001  it is raised to each caller
            opening.set_exception(error)
            return
        try:
            await self._closing.wait()
        except asyncio.CancelledError:
            warnings.warn(_UNCLOSED, ResourceWarning, source=self, stacklevel=1)
            await opened.aclose()
            raise
        await opened.aclose()

    async def submit(self, target: Target, given: Any, options: Mapping[str, Any]) -> AsyncHandle[Any]:
        """Starts one run. Its error has a note with the id under which the call can be repeated."""
        aim = aim_of(target)
        asked = read_options(options)
        of_run = _with_id(asked)
        try:
            body = input_of(target, given)
            submission = _submission(aim, body, of_run, is_new=of_run is not asked)
            accepted = await (await self.backend()).start(submission)
        except (QueueUnreachable, StoreUnreachable, PublishUnconfirmed) as error:
            error.add_note(_repeat(of_run))
            raise
        except ContractBroken as error:
            error.add_note(f"it is the input of pipeline {aim.name!r}")
            raise
        return AsyncHandle(self.backend, accepted.run_id, aim, new=accepted.new)

    async def submit_many(
        self, target: Target, inputs: Iterable[Any], unique: Sequence[str] | None, options: Mapping[str, Any]
    ) -> list[Submitted[AsyncHandle[Any]]]:
        """Starts a run for each input: what became of each, in order."""
        aim, submissions = aim_of(target), list[Submission | Submitted[Any]]()
        if isinstance(inputs, str | bytes):
            raise TypeError(
                f"inputs is one {type(inputs).__name__}: give a list of inputs, as [{inputs[:20]!r}]"
            )
        inputs, common = list(inputs), read_options(options)
        if unique is not None and len(unique) != len(inputs):
            raise ValueError(f"unique has {len(unique)} keys for {len(inputs)} inputs: give one for each")
        for place, given in enumerate(inputs):
            of_this = common if unique else _with_id(common)
            try:
                if unique:
                    of_this = replace(common, unique=unique[place])
                body = input_of(target, given)
            except (ContractBroken, OptionInvalid) as error:
                submissions.append(Submitted(of_this.id or "", error=error))
                continue
            is_new = not unique and of_this is not common
            submissions.append(_submission(aim, body, of_this, is_new=is_new))
        sent = [each for each in submissions if isinstance(each, Submission)]
        replies = iter(await (await self.backend()).start_many(sent))
        return [
            self._submitted(aim, each, next(replies)) if isinstance(each, Submission) else each
            for each in submissions
        ]

    async def publish(self, topic: str, given: Any, options: Mapping[str, Any]) -> Sequence[Begun]:
        """Starts a run of each pipeline that takes the topic. Its error has a note with the key under which the call can be repeated."""
        if unknown := sorted(options.keys() - PublishOptions.__annotations__.keys()):
            known = ", ".join(sorted(PublishOptions.__annotations__))
            raise TypeError(f"publish has no option {', '.join(unknown)}; it has: {known}")
        asked = read_options(options)
        keyed = asked if asked.unique is not None else replace(asked, unique=new_id())
        body = b"" if given is DEFAULTS else write(given, Any)
        message = Message(topic=topic, input=body, options=keyed, is_new=keyed is not asked)
        try:
            return await (await self.backend()).publish(message)
        except (QueueUnreachable, StoreUnreachable, PublishUnconfirmed) as error:
            error.add_note(f"to repeat it is safe: publish the same with unique={keyed.unique!r}")
            raise

    def _submitted(
        self, aim: Aim, submission: Submission, reply: Accepted | Exception
    ) -> Submitted[AsyncHandle[Any]]:
        if isinstance(reply, Exception):
            return Submitted(submission.options.id or "", error=reply)
        return Submitted(reply.run_id, AsyncHandle(self.backend, reply.run_id, aim, new=reply.new))


def _submission(aim: Aim, body: bytes, options: StartOptions, *, is_new: bool) -> Submission:
    return Submission(pipeline=aim.name, input=body, options=options, known=aim.pipeline, is_new=is_new)


def _with_id(options: StartOptions) -> StartOptions:
    """With a new id, unless it has one or a key."""
    if options.id is not None or options.unique is not None:
        return options
    return replace(options, id=new_id())


def _repeat(options: StartOptions) -> str:
    what = f"unique={options.unique!r}" if options.unique is not None else f"id={options.id!r}"
    return f"to repeat it is safe: submit the same input with {what}"
