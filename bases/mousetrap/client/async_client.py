"""The asynchronous client: starts runs, and gives their handles."""

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Concatenate, Self, TypeVar, Unpack, overload

from mousetrap.client.core import Core, Submitted
from mousetrap.client.find import Via, find
from mousetrap.client.handle import AsyncHandle
from mousetrap.client.open_backend import open_async
from mousetrap.client.targets import DEFAULTS, Aim, Target, aim_of
from mousetrap.handlers import Call, Chain, Task
from mousetrap.pipeline import Pipeline
from mousetrap.settings import Settings
from mousetrap.submit_run import CommonOptions, PublishOptions, RunOptions, Span

I = TypeVar("I")
O = TypeVar("O")


class AsyncClient:
    """Starts runs from an event loop, over the broker or over HTTP; it opens with its first use.

    `via` and `settings` replace what `find` finds. Raises SettingsWrong, with what to set. It belongs to the event loop and
    the process that used it first: elsewhere, and after `close`, its methods raise ClientClosed.
    """

    def __init__(self, *, via: Via | None = None, settings: Settings | None = None) -> None:
        found = find(via, settings)
        self._core = Core(lambda: open_async(*found))

    async def __aenter__(self) -> Self:
        await self._core.backend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections; the runs go on."""
        await self._core.close()

    @overload
    async def submit(
        self, target: Task[Concatenate[I, ...], O], input: I, /, **options: Unpack[RunOptions]
    ) -> AsyncHandle[O]: ...
    @overload
    async def submit(
        self, target: Chain[Concatenate[I, ...], O], input: I, /, **options: Unpack[RunOptions]
    ) -> AsyncHandle[O]: ...
    @overload
    async def submit(self, target: Call[O], /, **options: Unpack[RunOptions]) -> AsyncHandle[O]: ...
    @overload
    async def submit(
        self, target: str | Pipeline, input: Any = ..., /, **options: Unpack[RunOptions]
    ) -> AsyncHandle[Any]: ...
    async def submit(
        self, target: Target, input: Any = DEFAULTS, /, **options: Unpack[RunOptions]
    ) -> AsyncHandle[Any]:
        """Starts a run of a task, of a chain, or of a pipeline by its name; returns once the run is kept.

        The input is the value of the first parameter; `task.call(…)` gives several. By name it is plain JSON, and so is the
        result. Raises ContractBroken for an input that does not fit, RunConflict for an id or a key of another run,
        UnknownPipeline, QueueFull, Unroutable; after QueueUnreachable, StoreUnreachable and PublishUnconfirmed the run may be
        there or not, and their note has the id under which the call can be repeated.
        """
        return await self._core.submit(target, input, options)

    @overload
    async def submit_many(
        self,
        target: Task[Concatenate[I, ...], O],
        inputs: Iterable[I],
        /,
        *,
        unique: Sequence[str] | None = None,
        **options: Unpack[CommonOptions],
    ) -> list[Submitted[AsyncHandle[O]]]: ...
    @overload
    async def submit_many(
        self,
        target: Chain[Concatenate[I, ...], O],
        inputs: Iterable[I],
        /,
        *,
        unique: Sequence[str] | None = None,
        **options: Unpack[CommonOptions],
    ) -> list[Submitted[AsyncHandle[O]]]: ...
    @overload
    async def submit_many(
        self,
        target: str | Pipeline,
        inputs: Iterable[Any],
        /,
        *,
        unique: Sequence[str] | None = None,
        **options: Unpack[CommonOptions],
    ) -> list[Submitted[AsyncHandle[Any]]]: ...
    async def submit_many(
        self,
        target: Target,
        inputs: Iterable[Any],
        /,
        *,
        unique: Sequence[str] | None = None,
        **options: Unpack[CommonOptions],
    ) -> list[Submitted[AsyncHandle[Any]]]:
        """Starts a run for each input: what became of each, in order. One that fails stops no other."""
        return await self._core.submit_many(target, inputs, unique, options)

    async def publish(
        self, topic: str, input: Any = DEFAULTS, /, **options: Unpack[PublishOptions]
    ) -> tuple[AsyncHandle[Any], ...]:
        """Starts a run of each pipeline that takes the topic, as `orders.*` takes orders.created; returns once all are kept.

        The input is plain JSON, and must fit the contract of each, else none is started. Raises NoTaker for a topic that no
        pipeline takes, TopicInvalid for one of another form, ContractBroken, and as `submit` does: then some of them may be there,
        and the note has the key under which the call can be repeated.
        """
        begun = await self._core.publish(topic, input, options)
        return tuple(
            AsyncHandle(self._core.backend, run.run_id, Aim(pipeline), new=run.new) for pipeline, run in begun
        )

    @overload
    def run(
        self, run_id: str, of: Task[..., O] | Chain[..., O], /, *, submitted_within: Span = 0
    ) -> AsyncHandle[O]: ...
    @overload
    def run(
        self, run_id: str, of: str | Pipeline | None = None, /, *, submitted_within: Span = 0
    ) -> AsyncHandle[Any]: ...
    def run(
        self, run_id: str, of: Target | None = None, /, *, submitted_within: Span = 0
    ) -> AsyncHandle[Any]:
        """The handle of a run that was started elsewhere; with the task or chain it is `of`, its result is typed.

        `submitted_within`, seconds or a timedelta, is how long `wait` and `follow` wait for a run that is not known yet, as
        one whose outbox row was just committed; then they raise UnknownRun.
        """
        aim = aim_of(of) if of is not None else Aim("")
        return AsyncHandle(self._core.backend, run_id, aim, new=False, submitted_within=submitted_within)
