"""Checks that the store can keep the locks of a worker's stages."""

from collections.abc import Sequence

from mousetrap.handlers import Binding
from mousetrap.settings import SettingsWrong, is_cluster


def check_locks(bindings: Sequence[Binding], store_url: str) -> None:
    """Returns unless a stage has a lock and the store is a cluster, where a lock and its job are on different servers.

    Raises SettingsWrong with the stage.
    """
    if not is_cluster(store_url):
        return
    for binding in bindings:
        if binding.stage.lock is not None:
            raise SettingsWrong(
                f"MOUSETRAP_STORE_URL names a cluster, and {binding.pipeline.name}.{binding.stage_name} has a lock, which a "
                "cluster cannot keep: name a single server, or serve the stage without its lock"
            )
