"""The blocking client: the same verbs, for scripts, notebooks and threads."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Concatenate, Generic, Self, TypeVar, Unpack, overload

from mousetrap.client.blocking import Blocking
from mousetrap.client.core import Core, Submitted
from mousetrap.client.find import Via, find
from mousetrap.client.handle import AsyncHandle
from mousetrap.client.open_backend import open_blocking
from mousetrap.client.targets import DEFAULTS, Aim, Target, aim_of
from mousetrap.handlers import Call, Chain, Task
from mousetrap.pipeline import Pipeline
from mousetrap.settings import Settings
from mousetrap.shapes import Event, JobLine, Progress, Run, RunState
from mousetrap.submit_run import CommonOptions, PublishOptions, RunOptions, Span

I = TypeVar("I")
O = TypeVar("O")
O_co = TypeVar("O_co", covariant=True)
E = TypeVar("E")


class Handle(Generic[O_co]):
    """A run: its id, and what can be done with it. Typed by what its last stage gives."""

    def __init__(
        self, calls: Blocking, run_id: str, aim: Aim, *, new: bool = True, submitted_within: Span = 0
    ) -> None:
        self._calls = calls
        self._aim = aim
        self._submitted_within = submitted_within
        self.id = run_id
        #: False where this very submission was accepted before.
        self.new = new

    def __repr__(self) -> str:
        return f"<run {self.id} of {self._aim.name}>" if self._aim.name else f"<run {self.id}>"

    def wait(self, timeout: Span | None = None) -> O_co:
        """The result, as `AsyncHandle.wait` has it. Ctrl-C ends the wait, and not the run."""
        result: O_co = self._calls.run(lambda core: self._on(core).wait(timeout))
        return result

    def status(self) -> Run:
        """The run as it is now, with its timeline. Raises UnknownRun and StoreUnreachable."""
        return self._calls.run(lambda core: self._on(core).status())

    def cancel(self) -> RunState:
        """Cancels the run, as `AsyncHandle.cancel` does; returns the state after this."""
        return self._calls.run(lambda core: self._on(core).cancel())

    def rerun(
        self, begin: str = "start", *, input: Any = DEFAULTS, unique: str | None = None
    ) -> "Handle[O_co]":
        """Repeats the run as a new one, as `AsyncHandle.rerun` does."""
        again = self._calls.run(lambda core: self._on(core).rerun(begin, input=input, unique=unique))
        return Handle(self._calls, again.id, self._aim, new=again.new)

    def jobs(self, *, stage: str | None = None, state: str | None = None) -> Iterator[JobLine]:
        """The run's jobs as they are now, as `AsyncHandle.jobs` has them."""
        return self._each(lambda run: run.jobs(stage=stage, state=state))

    def follow(self) -> Iterator[Event | Progress]:
        """The run's events from its start, each once, as they happen, and its progress; ends with the run."""
        return self._each(lambda run: run.follow())

    def _each(self, begin: Callable[[AsyncHandle[Any]], AsyncIterator[E]]) -> Iterator[E]:
        async def begun(core: Core) -> AsyncIterator[E]:
            return begin(self._on(core))

        found = self._calls.run(begun)

        async def following(_core: Core) -> E | None:
            return await anext(found, None)

        while (each := self._calls.run(following)) is not None:
            yield each

    def _on(self, core: Core) -> AsyncHandle[Any]:
        return AsyncHandle(core.backend, self.id, self._aim, submitted_within=self._submitted_within)


class Client:
    """Starts runs from any thread, over the broker or over HTTP; it opens with its first use.

    `via` and `settings` replace what `find` finds. Raises SettingsWrong, with what to set. It may be shared by threads, used
    beside a running event loop, and used on after a fork: the child opens its own connections. After `close` its methods
    raise ClientClosed.
    """

    def __init__(self, *, via: Via | None = None, settings: Settings | None = None) -> None:
        found = find(via, settings)
        self._calls = Blocking(lambda: Core(lambda: open_blocking(*found)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; the runs go on."""
        self._calls.close()

    @overload
    def submit(
        self, target: Task[Concatenate[I, ...], O], input: I, /, **options: Unpack[RunOptions]
    ) -> Handle[O]: ...
    @overload
    def submit(
        self, target: Chain[Concatenate[I, ...], O], input: I, /, **options: Unpack[RunOptions]
    ) -> Handle[O]: ...
    @overload
    def submit(self, target: Call[O], /, **options: Unpack[RunOptions]) -> Handle[O]: ...
    @overload
    def submit(
        self, target: str | Pipeline, input: Any = ..., /, **options: Unpack[RunOptions]
    ) -> Handle[Any]: ...
    def submit(self, target: Target, input: Any = DEFAULTS, /, **options: Unpack[RunOptions]) -> Handle[Any]:
        """Starts a run of a task, of a chain, or of a pipeline by its name, as `AsyncClient.submit` does."""
        run = self._calls.run(lambda core: core.submit(target, input, options))
        return Handle(self._calls, run.id, aim_of(target), new=run.new)

    @overload
    def submit_many(
        self,
        target: Task[Concatenate[I, ...], O],
        inputs: Iterable[I],
        /,
        *,
        unique: Sequence[str] | None = None,
        **options: Unpack[CommonOptions],
    ) -> list[Submitted[Handle[O]]]: ...
    @overload
    def submit_many(
        self,
        target: Chain[Concatenate[I, ...], O],
        inputs: Iterable[I],
        /,
        *,
        unique: Sequence[str] | None = None,
        **options: Unpack[CommonOptions],
    ) -> list[Submitted[Handle[O]]]: ...
    @overload
    def submit_many(
        self,
        target: str | Pipeline,
        inputs: Iterable[Any],
        /,
        *,
        unique: Sequence[str] | None = None,
        **options: Unpack[CommonOptions],
    ) -> list[Submitted[Handle[Any]]]: ...
    def submit_many(
        self,
        target: Target,
        inputs: Iterable[Any],
        /,
        *,
        unique: Sequence[str] | None = None,
        **options: Unpack[CommonOptions],
    ) -> list[Submitted[Handle[Any]]]:
        """Starts a run for each input: what became of each, in order. One that fails stops no other."""
        given, aim = list(inputs), aim_of(target)
        found = self._calls.run(lambda core: core.submit_many(target, given, unique, options))
        return [
            Submitted(each.id, Handle(self._calls, each.id, aim, new=each.run.new))
            if each.run
            else Submitted(each.id, error=each.error)
            for each in found
        ]

    def publish(
        self, topic: str, input: Any = DEFAULTS, /, **options: Unpack[PublishOptions]
    ) -> tuple[Handle[Any], ...]:
        """Starts a run of each pipeline that takes the topic, as `AsyncClient.publish` does."""
        begun = self._calls.run(lambda core: core.publish(topic, input, options))
        return tuple(Handle(self._calls, run.run_id, Aim(pipeline), new=run.new) for pipeline, run in begun)

    @overload
    def run(
        self, run_id: str, of: Task[..., O] | Chain[..., O], /, *, submitted_within: Span = 0
    ) -> Handle[O]: ...
    @overload
    def run(
        self, run_id: str, of: str | Pipeline | None = None, /, *, submitted_within: Span = 0
    ) -> Handle[Any]: ...
    def run(self, run_id: str, of: Target | None = None, /, *, submitted_within: Span = 0) -> Handle[Any]:
        """The handle of a run that was started elsewhere, as `AsyncClient.run` has it."""
        aim = aim_of(of) if of is not None else Aim("")
        return Handle(self._calls, run_id, aim, new=False, submitted_within=submitted_within)
