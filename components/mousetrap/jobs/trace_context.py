"""Places a job in the trace of its run."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

#: Characters of a `traceparent` of version 00, and of the `tracestate` that every system must pass on.
_PARENT, _STATE = 55, 512
_FORM = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class TraceContext(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a message carries of its trace. Empty members are not written."""

    #: The span that the message was created in; empty for a job whose first attempt begins a trace.
    traceparent: Annotated[str, Meta(max_length=_PARENT)] = ""
    tracestate: Annotated[str, Meta(max_length=_STATE)] = ""
    #: The `traceparent` of the span that this one leads back to: the attempt before, or the trace of what is repeated.
    link: Annotated[str, Meta(max_length=_PARENT)] = ""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; empty where there is none, or no such."""
        found = _FORM.fullmatch(self.traceparent)
        return found[1] if found else ""

    def restarted(self) -> "TraceContext":
        """That of what repeats the job in a trace of its own, which leads back."""
        return TraceContext(link=self.link or self.traceparent)


def read_trace(text: str) -> TraceContext | msgspec.UnsetType:
    """The context in a text of the store. One that cannot be read is none: a run goes on without its trace."""
    if not text:
        return msgspec.UNSET
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return msgspec.UNSET


def trace_text(trace: TraceContext | msgspec.UnsetType) -> str:
    """The context as the store has it; empty for none."""
    return "" if trace is msgspec.UNSET else msgspec.json.encode(trace).decode()


_decoder = msgspec.json.Decoder(TraceContext)
