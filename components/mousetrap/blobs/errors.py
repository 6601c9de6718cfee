"""Reports what is wrong with a stored blob."""

from typing import Literal


class BlobBroken(Exception):
    """A blob is gone, was altered, or is cut: no repeat of the attempt can read it."""

    def __init__(
        self, text: str, reason: Literal["payload-missing", "payload-altered"] = "payload-altered"
    ) -> None:
        super().__init__(text)
        #: Of the dead letter.
        self.reason = reason
