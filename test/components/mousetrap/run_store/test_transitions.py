"""The arguments that Python declares are those that the Lua functions take."""

import re

import msgspec

from mousetrap.run_store import transitions
from mousetrap.run_store.batches import LIBRARY


def _declared() -> dict[str, list[str]]:
    kinds = [kind for kind in vars(transitions).values() if isinstance(kind, type)]
    tagged = [
        kind for kind in kinds if issubclass(kind, transitions.Transition) and kind.__struct_config__.tag
    ]
    return {
        str(kind.__struct_config__.tag): [field.name for field in msgspec.structs.fields(kind)]
        for kind in tagged
    }


def _taken() -> dict[str, list[str]]:
    heads = re.findall(r"^function transitions\.(\w+)\(([^)]*)\)", LIBRARY.source, re.MULTILINE)
    return {name: re.split(r",\s*", arguments) for name, arguments in heads}


def test_each_transition_takes_the_arguments_that_python_declares_in_their_order() -> None:
    taken = _taken()

    assert taken.pop(transitions.ENDED) == ["..."]
    assert len(taken) > 15
    assert _declared() == taken


def test_a_transition_is_sent_as_its_name_and_its_arguments() -> None:
    sent = msgspec.msgpack.encode([transitions.RenewClaim("j1", "r1", 3, 30_000, 60_000)])

    assert msgspec.msgpack.decode(sent) == [["renew", "j1", "r1", 3, 30_000, 60_000]]
