"""Compares what Python declares with the Lua library."""

import re
from types import ModuleType

import msgspec

from mousetrap.run_store import transitions
from mousetrap.run_store.batches import LIBRARY
from mousetrap.run_store.packed import sender
from mousetrap.run_store.packed import transitions as packed
from mousetrap.shapes import ENDS


def _declared(module: ModuleType) -> dict[str, list[str]]:
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type)]
    tagged = [
        kind for kind in kinds if issubclass(kind, transitions.Transition) and kind.__struct_config__.tag
    ]
    return {
        str(kind.__struct_config__.tag): [field.name for field in msgspec.structs.fields(kind)]
        for kind in tagged
    }


def _taken(source: str) -> dict[str, list[str]]:
    heads = re.findall(r"^function transitions\.(\w+)\(([^)]*)\)", source, re.MULTILINE)
    return {name: re.split(r",\s*", arguments) for name, arguments in heads}


def test_each_transition_takes_the_arguments_that_python_declares_in_their_order() -> None:
    taken = _taken(LIBRARY.source)

    assert taken.pop(transitions.ENDED) == ["..."]
    assert len(taken) > 15
    assert _declared(transitions) == taken


def test_each_packed_transition_takes_the_arguments_that_python_declares_in_their_order() -> None:
    taken = _taken(sender.LIBRARY.source)

    assert len(taken) > 15
    assert _declared(packed) == taken


def test_python_and_lua_name_the_same_states_in_which_a_run_has_ended() -> None:
    (states,) = re.findall(r"^local ENDED = \{(.*)\}$", LIBRARY.source, re.MULTILINE)

    assert set(re.findall(r"(\w+) = true", states)) == ENDS


def test_a_transition_is_sent_as_its_name_and_its_arguments() -> None:
    sent = msgspec.msgpack.encode([transitions.RenewClaim("j1", "r1", 3, 30_000, 60_000)])

    assert msgspec.msgpack.decode(sent) == [["renew", "j1", "r1", 3, 30_000, 60_000]]
