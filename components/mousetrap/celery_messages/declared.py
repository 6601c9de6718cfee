"""Reads which tasks of Celery are which pipelines."""

import tomllib
from collections.abc import Mapping

import msgspec

_EXAMPLE = '[tasks]\n"shop.resize" = "resize"'


class DeclaredWrong(ValueError):
    """A file of declarations cannot be used; the text has the place and the fix."""


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which queues of Celery are consumed, and which pipeline does which task."""

    #: Celery's name of a task, and the pipeline that does it.
    tasks: Mapping[str, str] = {}
    #: The queues that are consumed.
    queues: tuple[str, ...] = ("celery",)
    #: Celery's name of a task, and the queue in which its workers find it, where what is sent on does not name one.
    routes: Mapping[str, str] = {}
    #: Whether results are sent to callers that wait for them, as those with the backend `rpc://` do.
    answers: bool = False

    def queue_of(self, task: str) -> str:
        """The queue of a task: its route, ours for one that is done here, else Celery's default."""
        return self.routes.get(task) or (self.queues[0] if task in self.tasks else "celery")


def read_declared(text: str) -> Declared:
    """The declarations in a TOML text. Raises DeclaredWrong."""
    try:
        found = msgspec.convert(tomllib.loads(text), Declared)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise DeclaredWrong(
            f'{error}; it has queues = ["…"], answers, [tasks] and [routes], as\n{_EXAMPLE}'
        ) from error
    if not found.tasks or not found.queues:
        raise DeclaredWrong(f"it declares no task, or no queue: give both, as\n{_EXAMPLE}")
    return found
