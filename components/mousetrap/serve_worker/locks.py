"""Checks that the store can keep the locks and limits of stages."""

from collections.abc import Sequence

from mousetrap.handlers import Binding
from mousetrap.settings import SettingsWrong, is_cluster


def check_locks(bindings: Sequence[Binding], store_url: str) -> None:
    """Returns unless a stage has a lock or a limit and the store is a cluster, where these and their jobs are on different servers.

    Raises SettingsWrong with the stage.
    """
    if not is_cluster(store_url):
        return
    for binding in bindings:
        for what, declared in (("lock", binding.stage.lock), ("limit", binding.stage.limit)):
            if declared is not None:
                raise SettingsWrong(
                    f"MOUSETRAP_STORE_URL names a cluster, and {binding.pipeline.name}.{binding.stage_name} has a {what}, which a "
                    f"cluster cannot keep: name a single server, or serve the stage without its {what}"
                )
