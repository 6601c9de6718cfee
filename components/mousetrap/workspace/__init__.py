"""Writes bricks and deployables into a workspace."""

from mousetrap.workspace.edits import Change, Edits, recover
from mousetrap.workspace.find import find_workspace
from mousetrap.workspace.first_edits import first_edits
from mousetrap.workspace.git import check_committed
from mousetrap.workspace.new_bricks import add_pipeline, add_task
from mousetrap.workspace.new_worker import add_worker
from mousetrap.workspace.remove_example import remove_example

__all__ = [
    "Change",
    "Edits",
    "add_pipeline",
    "add_task",
    "add_worker",
    "check_committed",
    "find_workspace",
    "first_edits",
    "recover",
    "remove_example",
]
