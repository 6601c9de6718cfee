"""Errors for people: failed, misused, unreachable."""


class CommandFailed(Exception):
    """What was asked for did not succeed."""

    code = 1


class Misused(CommandFailed):
    """The request makes no sense, to the command or to the API: change it."""

    code = 2


class UnknownRun(Misused):
    """The API knows no run with this id."""


class RunEnded(CommandFailed):
    """The run, or operation, has ended: there is nothing to cancel or stop."""


class Unreachable(CommandFailed):
    """The API cannot be reached, or cannot reach what it needs: try again later."""

    code = 3
