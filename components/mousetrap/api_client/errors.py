"""How a command ends badly: a line for people, and an exit code that says which kind it was."""


class CommandFailed(Exception):
    """What was asked for did not succeed."""

    code = 1


class Misused(CommandFailed):
    """What was asked for makes no sense, here or to the API: ask otherwise."""

    code = 2


class Unreachable(CommandFailed):
    """The API cannot be reached, or cannot reach what it needs: try again later."""

    code = 3
