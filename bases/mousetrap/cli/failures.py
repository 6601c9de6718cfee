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


def exit_code(error: Exception) -> int | None:
    """The code for an error whose text is written for people; None for one that is a defect of ours."""
    if isinstance(error, CommandFailed):
        return error.code
    # Imported only now: checking settings takes longer to load than a short command takes to run.
    from mousetrap.jobs import MousetrapError
    from mousetrap.settings import SettingsWrong

    if isinstance(error, SettingsWrong):
        return 2
    return 3 if isinstance(error, MousetrapError) else None
