"""Combines the acknowledgements of one channel into few frames."""


class Acknowledgements:
    """The delivery tags that are settled and not sent yet. The broker counts a channel's deliveries from one."""

    def __init__(self) -> None:
        self._lowest_open = 1
        #: Settled tags above the lowest open one.
        self._ahead: set[int] = set()
        self._unsent: list[int] = []

    def settle(self, tag: int) -> bool:
        """Records that `tag` is to be acknowledged. Returns whether it is the first since the last `take`."""
        self._unsent.append(tag)
        return len(self._unsent) == 1

    def skip(self, tag: int) -> None:
        """Records that `tag` was settled in another way."""
        self._ahead.add(tag)

    def take(self) -> list[tuple[int, bool]]:
        """The acknowledgements to send now: each a tag, and whether it includes all tags below it."""
        unsent, self._unsent = sorted(self._unsent), []
        self._ahead.update(unsent)
        while self._lowest_open in self._ahead:
            self._ahead.remove(self._lowest_open)
            self._lowest_open += 1
        # The named tag must itself be unsent: a broker refuses a tag that it has already got.
        together = [tag for tag in unsent if tag < self._lowest_open]
        singly = unsent[len(together) :]
        return [*([(together[-1], len(together) > 1)] if together else []), *((tag, False) for tag in singly)]
