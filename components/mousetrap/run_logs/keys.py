"""Names the keys of a run's log lines, in its slot."""


def lines_key(run_id: str) -> str:
    """The list of its lines, as JSON, oldest first."""
    return f"mousetrap:{{{run_id}}}:log"


def facts_key(run_id: str) -> str:
    """The hash with how many are gone: see `lua/append.lua`."""
    return f"mousetrap:{{{run_id}}}:log:facts"
