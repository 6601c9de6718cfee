"""Names the store's keys that Python uses.

`lua/keys.lua` lists all of the older family. Runs of wire format 5 have packed records. All keys of such a run begin with `mousetrap:{RUN}:`, so that they share a slot.
"""

#: The longest delay of the runs that are kept, in milliseconds.
LONGEST_DELAY = "mousetrap:longest_delay"
#: The server's time when the Lua functions last noted it, and how far their clock was ahead of it.
CLOCK = "mousetrap:clock"
#: Packed runs that are not known to be published yet, by time: at once, and with a delay.
OPENED, OPENED_DELAYED = "mousetrap:opened", "mousetrap:opened:delayed"

#: A hash: `from`, the day from which on all runs are named by all hints that they match; and the pipelines of those that may be open,
#: each as `open:PIPELINE`.
HINTS = "mousetrap:hints"


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


def hint_key(name: str, day: int) -> str:
    """The sorted set of this name, of runs accepted on a day (since 1970): see `run_filter`."""
    return f"mousetrap:{name}:{day}"


def reruns_key(run_id: str) -> str:
    """The set of the runs that repeat this one."""
    return f"mousetrap:{{{run_id}}}:reruns"


def reopening_key(run_id: str) -> str:
    """Is there for a minute once someone is about to open a failed run again."""
    return f"mousetrap:{{{run_id}}}:reopening"


def packed_run_key(run_id: str) -> str:
    """The string of a packed run: see `records`."""
    return f"mousetrap:{{{run_id}}}:run"


def packed_job_key(run_id: str, job_id: str) -> str:
    """The string of a packed job: see `records`."""
    return f"mousetrap:{{{run_id}}}:job:{job_id}"


def packed_events_key(run_id: str) -> str:
    """The stream of a packed run's timeline up to the last unusual event."""
    return f"mousetrap:{{{run_id}}}:events"


def packed_progress_key(run_id: str) -> str:
    """The hash of what changes while a packed run goes on: `progress` (JSON), and counts of the values that it yielded."""
    return f"mousetrap:{{{run_id}}}:progress"


def fan_key(run_id: str, job_id: str) -> str:
    """The hash of a job's children: see `lua/packed/fans.lua`."""
    return f"mousetrap:{{{run_id}}}:fan:{job_id}"


def fan_out_key(run_id: str, job_id: str) -> str:
    """The string with how the way of each child ended."""
    return f"mousetrap:{{{run_id}}}:fan:{job_id}:out"


def fan_keys_key(run_id: str, job_id: str) -> str:
    """The hash with the index of each child that has a key."""
    return f"mousetrap:{{{run_id}}}:fan:{job_id}:keys"


def newest_key(pipeline: str) -> str:
    """The sorted set of a pipeline's newest completed packed runs, by when they were accepted."""
    return f"mousetrap:newest:{pipeline}"


def lock_key(lock: str) -> str:
    """The hash of a lock: the job that holds it, that one's run, until when, and its fence."""
    return f"mousetrap:lock:{lock}"


def later_key(queue: str) -> str:
    """The sorted set of the jobs whose messages are in a queue and not due, by when they are."""
    return f"mousetrap:later:{queue}"


def payloads_key(run_id: str) -> str:
    """The hash of what is too large for a run's records and messages: see the component `payloads`."""
    return f"mousetrap:payloads:{run_id}"


def cluster_payloads_key(run_id: str) -> str:
    """The same in a cluster, in the slot of the run."""
    return f"mousetrap:{{{run_id}}}:payloads"
