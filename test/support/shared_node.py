"""Lends one RabbitMQ node to all test processes of a run."""

from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from threading import Thread

from support.rabbitmq import NoRabbitMQ, OwnRabbitMQ


@dataclass(frozen=True)
class BorrowedRabbitMQ:
    """A broker that another process runs."""

    url: str
    api: str


class SharedNode:
    """Starts a node when the first process asks for it, and keeps it until the run ends."""

    def __init__(self, start: Callable[[], OwnRabbitMQ]) -> None:
        self._start = start
        self._node: OwnRabbitMQ | None = None
        self._listener = Listener(family="AF_UNIX")
        Thread(target=self._serve, name="shared node", daemon=True).start()

    @property
    def address(self) -> str:
        """Where `borrow` finds it."""
        return str(self._listener.address)

    def remove(self) -> None:
        self._listener.close()
        if self._node:
            self._node.remove()

    def _serve(self) -> None:
        while True:
            try:
                asker = self._listener.accept()
            except OSError:  # closed
                return
            with asker:
                self._lend(asker)

    def _lend(self, asker: "Connection[object, object]") -> None:
        try:
            self._node = self._node or self._start()
        except NoRabbitMQ as error:
            asker.send(error)
        else:
            asker.send(BorrowedRabbitMQ(self._node.url, self._node.api))


def borrow(address: str) -> BorrowedRabbitMQ:
    """Asks the process that has the node; NoRabbitMQ where none could be started."""
    with Client(address, family="AF_UNIX") as owner:
        answer = owner.recv()
    if isinstance(answer, NoRabbitMQ):
        raise answer
    assert isinstance(answer, BorrowedRabbitMQ)
    return answer
