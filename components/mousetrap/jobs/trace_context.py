"""Places a job in the trace of its run."""

from typing import Annotated

import msgspec
from msgspec import Meta

#: Characters of a `traceparent` of version 00, and of the `tracestate` that every system must pass on.
_PARENT, _STATE = 55, 512


class TraceContext(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a message carries of its trace. Empty members are not written."""

    #: The span that the message was created in; empty for a job whose first attempt begins a trace.
    traceparent: Annotated[str, Meta(max_length=_PARENT)] = ""
    tracestate: Annotated[str, Meta(max_length=_STATE)] = ""
    #: The `traceparent` of the span that this one leads back to: the attempt before, or the trace of what is repeated.
    link: Annotated[str, Meta(max_length=_PARENT)] = ""

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
