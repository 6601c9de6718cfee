"""Reports that a value does not fit its contract."""

import msgspec

from mousetrap.retry import error_kind, error_text

#: Characters of an error's text that are kept.
MAX_TEXT = 1_000


class ContractBroken(Exception):
    """The value does not fit the contract: correct the part that `where` names, or the contract."""

    def __init__(self, what: str, where: str = "$") -> None:
        super().__init__(what, where)
        self.what = what
        #: A JSON path; `$` is the whole value.
        self.where = where

    def __str__(self) -> str:
        return f"{self.what} (at {self.where})"


def broken(error: Exception) -> ContractBroken:
    """The error of msgspec, or of the check that a contract's class makes itself, as ContractBroken."""
    text = error_text(error, MAX_TEXT)
    if not isinstance(error, msgspec.DecodeError | UnicodeDecodeError | RecursionError):
        return ContractBroken(f"its own check raised {error_kind(error)}: {text}")
    what, _, where = text.partition(" - at `")
    return ContractBroken(what, where.rstrip("`") or "$")
