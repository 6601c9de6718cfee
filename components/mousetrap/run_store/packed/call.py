"""Puts the commands of one pipelined call together."""

from collections.abc import Iterable

from mousetrap.run_store.keys import (
    cluster_payloads_key,
    fan_key,
    fan_keys_key,
    fan_out_key,
    newest_key,
    packed_events_key,
    packed_job_key,
    packed_progress_key,
    packed_run_key,
    payloads_key,
)
from mousetrap.store_client import Command, Word

#: The share of its time-to-live after which a run's is extended: to extend it is a write like any other.
_SHARE = 64
#: Completed runs of a pipeline that stay named: the newest that did complete is among them, though some were refused.
_NEWEST = 16
#: What lives as long as a run's record.
_WITH_RUN = (packed_run_key, packed_events_key, packed_progress_key, payloads_key, cluster_payloads_key)
#: The keys of a fan, and the record of the job that opened it.
_OF_FAN = (fan_key, fan_out_key, fan_keys_key, packed_job_key)


def extended(ttl: int) -> int:
    """A time-to-live, a little longer than asked for, so that it need not be extended at each change."""
    return ttl + ttl // _SHARE


class Call:
    """Commands, each with its place in the replies."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def add(self, *command: Word) -> int:
        """The place of the command's reply."""
        self.commands.append(command)
        return len(self.commands) - 1

    def publish(self, channel: str, run_ids: Iterable[str]) -> None:
        """Notifies those who wait for the runs."""
        if named := " ".join(dict.fromkeys(run_ids)):
            self.add("PUBLISH", channel, named)

    def keep(self, run_id: str, accepted_ms: int, now_ms: int, ttl: int) -> None:
        """Keeps a run's record for `ttl` from now, unless it was opened a moment ago."""
        if now_ms - accepted_ms > ttl // _SHARE:
            for key in _WITH_RUN:
                self.add("PEXPIRE", key(run_id), extended(ttl), "GT")

    def keep_fan(self, run_id: str, job_id: str, accepted_ms: int, now_ms: int, ttl: int) -> None:
        """Keeps what is known of a job's children as `keep` does the run."""
        if now_ms - accepted_ms > ttl // _SHARE:
            for key in _OF_FAN:
                self.add("PEXPIRE", key(run_id, job_id), extended(ttl), "GT")

    def keep_records(self, keys: Iterable[str], accepted_ms: int, now_ms: int, ttl: int) -> None:
        """Keeps records of a run's jobs, as `keep` does the run."""
        if now_ms - accepted_ms > ttl // _SHARE:
            for key in keys:
                self.add("PEXPIRE", key, ttl, "GT")

    def note_newest(self, pipeline: str, runs: Iterable[tuple[int, str]], ttl: int) -> None:
        """Names completed runs of a pipeline, each with when it was accepted; the newest ones stay named."""
        key = newest_key(pipeline)
        members = [part for run in sorted(runs)[-_NEWEST:] for part in run]
        self.add("ZADD", key, *members)
        self.add("ZREMRANGEBYRANK", key, 0, -_NEWEST - 1)
        self.add("PEXPIRE", key, extended(ttl))
