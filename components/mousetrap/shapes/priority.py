"""The ten levels of a run's priority."""

from typing import Annotated

from mousetrap.shapes.doc import Doc

#: The highest goes first. 4 is also what RabbitMQ takes for a message that names none.
LOWEST_PRIORITY, DEFAULT_PRIORITY, HIGHEST_PRIORITY = 0, 4, 9
PriorityShown = Annotated[int, Doc("0 to 9; the highest goes first.")]


def priority_fault(priority: object) -> str:
    """What is wrong with a priority, and how to correct it; empty for one of the ten."""
    if type(priority) is int and LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        return ""
    return (
        f"priority is {str(priority)[:70]}: give a whole number from {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}, the highest of which "
        f"goes first; {DEFAULT_PRIORITY} is the default"
    )
