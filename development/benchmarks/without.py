"""A Mousetrap contender with some guarantees switched off."""

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from benchmarks import ours
from mousetrap.jobs import new_runs
from mousetrap.run_store import ClaimRequest, DecisionRequest, Exchanged, Granted, RunStore

_batches: Any = import_module("mousetrap.run_store.batches")
_publisher: Any = import_module("mousetrap.job_queue.publisher")
_wire: Any = import_module("mousetrap.job_queue.wire")


def no_signature() -> None:
    """Nothing is signed and everything is believed."""
    ours.ENVIRON["MOUSETRAP_SIGNING_KEYS"] = "off"


def no_claim() -> None:
    """Every message is processed without a claim, and any outcome is accepted."""
    exchange = RunStore.exchange

    async def only_decide(
        store: RunStore, decisions: Sequence[DecisionRequest], claims: Sequence[ClaimRequest], *, worker: str
    ) -> Exchanged:
        recorded = await exchange(store, decisions, (), worker=worker) if decisions else Exchanged((), ())
        return Exchanged(recorded.decisions, [Granted(1, 1) for _ in claims])

    replace(RunStore, "exchange", only_decide)
    instead_of(
        "local function refusal(",
        "local function refusal(_, run)\n"
        "  return nil, read(run_key(run), 'kept_ms', 'pipeline', 'accepted_ms')\nend",
    )


def no_commit() -> None:
    """Nothing is recorded of what a job came to: a crash before its acknowledgement does the work again."""
    exchange = RunStore.exchange

    async def only_claim(
        store: RunStore, decisions: Sequence[DecisionRequest], claims: Sequence[ClaimRequest], *, worker: str
    ) -> Exchanged:
        granted = await exchange(store, (), claims, worker=worker) if claims else Exchanged((), ())
        return Exchanged(["recorded"] * len(decisions), granted.claims)

    replace(RunStore, "exchange", only_claim)


def no_confirm() -> None:
    """What is sent counts as published."""
    ask, send = _wire.ask, _publisher.Publisher._send_waiting

    async def ask_for_no_confirms(channel: Any, method: Callable[..., Any], *rest: Any, **named: Any) -> Any:
        return None if method == channel.confirm_delivery else await ask(channel, method, *rest, **named)

    def send_and_believe(self: Any) -> None:
        send(self)
        for pending in self._unconfirmed.lost():  # no confirm will arrive
            pending.settle()

    replace(_wire, "ask", ask_for_no_confirms)
    replace(_publisher.Publisher, "_send_waiting", send_and_believe)


def no_tracking() -> None:
    """Runs have no timeline and keep the state that they began with; no watcher is notified."""
    instead_of("local function record_event(", "local function record_event() end")
    instead_of("local function change_run(", "local function change_run() end")


GUARANTEES = {
    "signature": no_signature,
    "claim": no_claim,
    "confirm": no_confirm,
    "commit": no_commit,
    "tracking": no_tracking,
}


def replace(owner: type | ModuleType, name: str, by: object) -> None:
    """Like setattr, of what is there: a benchmark that replaces nothing measures nothing."""
    if not hasattr(owner, name):
        raise SystemExit(f"{owner} has no {name} any more: correct {__file__}")
    setattr(owner, name, by)


def instead_of(head: str, source: str) -> None:
    """Puts a Lua function in the place of the one that begins with `head`."""
    library = _batches.LIBRARY
    if library.source.count(f"\n{head}") != 1:
        raise SystemExit(f"the transitions have no `{head}` any more: correct {__file__}")
    name = f"{library.name}_{len(GUARANTEES)}{abs(hash(head))}"
    text = library.source.replace(f"\n{head}", f"\n{source}\n{head.replace('function ', 'function unused_')}")
    _batches.LIBRARY = dataclasses.replace(library, name=name, source=text.replace(library.name, name))


if __name__ == "__main__":
    if sys.argv[1] == "work" and new_runs() >= 5:
        sys.exit(
            f"packed records are claimed and decided by plain commands, not by these functions: correct {__file__}"
        )
    if sys.argv[1] == "work":
        for guarantee in filter(None, os.environ["BENCH_WITHOUT"].split("+")):
            GUARANTEES[guarantee]()
    sys.exit(ours.main(*sys.argv[1:]))
