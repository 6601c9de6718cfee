"""Names the store's keys that Python reads; `lua/keys.lua` lists all."""


def run_key(run_id: str) -> str:
    """The hash of a run."""
    return f"mousetrap:run:{run_id}"


def events_key(run_id: str) -> str:
    """The stream of a run's timeline."""
    return f"mousetrap:run:{run_id}:events"


def job_key(job_id: str) -> str:
    """The hash of a job."""
    return f"mousetrap:job:{job_id}"


def latest_key(pipeline: str) -> str:
    """The hash that names a pipeline's newest completed run."""
    return f"mousetrap:latest:{pipeline}"


def index_key(pipeline: str | None, day: int) -> str:
    """The sorted set of the runs accepted on a day (since 1970), of one pipeline or of all."""
    return f"mousetrap:runs:{pipeline}:{day}" if pipeline else f"mousetrap:runs:{day}"
