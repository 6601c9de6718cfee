"""A Mousetrap contender with some guarantees switched off."""

import asyncio
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from benchmarks import ours
from mousetrap.jobs import PAYLOAD_BESIDE, new_runs
from mousetrap.run_store import ClaimRequest, Granted

_call: Any = import_module("mousetrap.run_store.packed.call")
_claims: Any = import_module("mousetrap.run_store.packed.claims")
_decisions: Any = import_module("mousetrap.run_store.packed.decisions")
_sender: Any = import_module("mousetrap.run_store.packed.sender")
_records: Any = import_module("mousetrap.run_store.records")
_publisher: Any = import_module("mousetrap.job_queue.publisher")
_wire: Any = import_module("mousetrap.job_queue.wire")


def no_signature() -> None:
    """Nothing is signed and everything is believed."""
    ours.ENVIRON["MOUSETRAP_SIGNING_KEYS"] = "off"


def no_claim() -> None:
    """Every message is processed without a claim or a look at its run and its parent, and any outcome is accepted."""
    add = _call.Call.add

    def add_without_comparing(call: Any, *command: Any) -> int:
        place: int = add(call, *(command[:3] + command[5:] if "IFEQ" in command else command))
        return place

    async def grant(
        _: Any, planned: Sequence[ClaimRequest], replies: object, worker: str
    ) -> Sequence[Granted]:
        return [Granted(1, 1, record=_claim_of(request, worker)) for request in planned]

    replace(_claims.Claims, "plan", lambda _claims, _call, requests, _worker: requests)
    replace(_claims.Claims, "judge", grant)
    replace(_call.Call, "add", add_without_comparing)
    leave_out("  if redis.call('GET', job) ~= claim then return 0 end\n")
    leave_out(
        "  if run and redis.call('GETRANGE', run, 0, 0) ~= RUN_BYTES.queued then return 0 end\n",
    )


def _claim_of(request: ClaimRequest, worker: str) -> bytes:
    facts = _records.JobFacts(stage=request.job.stage, worker=worker)
    record: bytes = _records.encode_claim(1, facts)
    return record


def no_commit() -> None:
    """Nothing is recorded of what a job came to: a crash before its acknowledgement does the work again.

    Nor is what follows compared with it.
    """

    async def believe(_: Any, planned: Sequence[object], replies: object, worker: str) -> Sequence[str]:
        return ["recorded"] * len(planned)

    replace(_decisions.Decisions, "plan", lambda _decisions, _call, requests, _worker: requests)
    replace(_decisions.Decisions, "judge", believe)
    replace(_claims.Claims, "_follows", lambda *_: True)


def no_confirm() -> None:
    """What is sent counts as published."""
    ask, send = _wire.ask, _publisher.Publisher._send_waiting

    async def ask_for_no_confirms(channel: Any, method: Callable[..., Any], *rest: Any, **named: Any) -> Any:
        return None if method == channel.confirm_delivery else await ask(channel, method, *rest, **named)

    def send_and_believe(self: Any) -> None:
        send(self)
        for pending in self._unconfirmed.lost():  # no confirm will arrive
            asyncio.get_running_loop().call_soon(pending.settle)

    replace(_wire, "ask", ask_for_no_confirms)
    replace(_publisher.Publisher, "_send_waiting", send_and_believe)


def no_tracking() -> None:
    """Runs keep the state that they began with, none is listed as completed, and no watcher is notified.

    The usual timeline costs nothing that could be left out: it follows from the records.
    """
    for name in ("publish", "note_newest"):
        replace(_call.Call, name, lambda *_: None)
    leave_out("  if run then redis.call('SETRANGE', run, 0, RUN_BYTES.completed) end\n")


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


def leave_out(line: str) -> None:
    """Takes a line out of the Lua functions."""
    library = _sender.LIBRARY
    if library.source.count(line) != 1:
        raise SystemExit(f"the transitions have no `{line}` any more: correct {__file__}")
    name = f"{library.name}_{abs(hash(line))}"
    text = library.source.replace(line, "").replace(library.name, name)
    without = dataclasses.replace(library, name=name, source=text)
    for module in (_sender, _decisions):  # each has imported it by name
        replace(module, "LIBRARY", without)


if __name__ == "__main__":
    if sys.argv[1] == "work" and new_runs() < PAYLOAD_BESIDE:
        sys.exit(f"runs of an older format are claimed and decided by other functions: correct {__file__}")
    if sys.argv[1] == "work":
        for guarantee in filter(None, os.environ["BENCH_WITHOUT"].split("+")):
            GUARANTEES[guarantee]()
    sys.exit(ours.main(*sys.argv[1:]))
