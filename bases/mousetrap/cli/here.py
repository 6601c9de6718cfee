"""The environment that a command reads: the shell's, and the stack that runs in this folder."""

import os
import sys
from collections.abc import Mapping


def environment(*, quiet: bool = False) -> Mapping[str, str]:
    """Says on standard error which stack is used, unless `quiet`."""
    # Imported only now, so that `--help` answers at once.
    from mousetrap.settings import local_environment

    def say(line: str) -> None:
        print(f"mousetrap: {line}", file=sys.stderr)

    return local_environment(os.environ, (lambda _: None) if quiet else say)
