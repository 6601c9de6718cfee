"""Gathers the settled deliveries of one channel, and says them in as few acknowledgements as will do."""


class Acknowledgements:
    """Which delivery tags are settled and not said yet. The broker counts a channel's deliveries from one."""

    def __init__(self) -> None:
        self._lowest_open = 1
        #: Settled tags above the lowest open one.
        self._ahead: set[int] = set()
        self._unsaid: list[int] = []

    def settle(self, tag: int) -> bool:
        """Notes that `tag` is to be acknowledged; whether it is the first since the last `take`."""
        self._unsaid.append(tag)
        return len(self._unsaid) == 1

    def skip(self, tag: int) -> None:
        """Notes that `tag` was settled in another way."""
        self._ahead.add(tag)

    def take(self) -> list[tuple[int, bool]]:
        """The acknowledgements to send now: each a tag, and whether it stands for all tags up to it as well."""
        unsaid, self._unsaid = sorted(self._unsaid), []
        self._ahead.update(unsaid)
        while self._lowest_open in self._ahead:
            self._ahead.remove(self._lowest_open)
            self._lowest_open += 1
        # The tag that is named must itself be unsaid: a broker refuses one that it has heard of already.
        together = [tag for tag in unsaid if tag < self._lowest_open]
        singly = unsaid[len(together) :]
        return [*([(together[-1], len(together) > 1)] if together else []), *((tag, False) for tag in singly)]
