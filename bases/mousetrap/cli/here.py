"""The environment that a command reads: the shell's, and the stack that runs in this folder."""

import os
from collections.abc import Mapping


def environment(*, quiet: bool = False) -> Mapping[str, str]:
    """Says on standard error which stack is used, unless `quiet`."""
    # Imported only now, so that `--help` answers at once.
    from mousetrap.cli.output import say
    from mousetrap.settings import local_environment

    def name(line: str) -> None:
        if not quiet:
            say(f"mousetrap: {line}", error=True)

    return local_environment(os.environ, name)
