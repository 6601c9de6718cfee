"""Where a payload is that its record or message does not hold."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from mousetrap.shapes.doc import Doc

#: No part of a key can lead out of a folder. The end is `\Z`: after a `$`, a line break could follow.
_KEY = r"^[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}\Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A payload in the store of payloads: where it is, and what it must be when it is read."""

    #: The run's id, and a name that the run has once.
    key: Annotated[str, Meta(pattern=_KEY), Doc(examples=("019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b/5f0c5b7e",))]
    #: Of its bytes, in hexadecimal digits.
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    #: In bytes.
    size: Annotated[int, Meta(ge=0, le=1_099_511_627_776)]

    @property
    def run_id(self) -> str:
        """The run that it belongs to."""
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        """What the run calls it."""
        return self.key.partition("/")[2]
