"""Builds, starts, attacks and removes one stack of deploy/."""

import json
import os
import subprocess
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from support.ports import free_ports
from support.waiting import until

ROOT = Path(__file__).parents[2]
#: The deployables, by project.
IMAGES = {
    folder.name: f"mousetrap-{folder.name.replace('_', '-')}"
    for folder in sorted((ROOT / "projects").iterdir())
}
#: The same for every run of one checkout, so that what a killed run left behind is found and removed by the next.
_PROJECT = f"mousetrap-test-{zlib.crc32(str(ROOT).encode()):08x}"
_OURS = tuple(name for name in IMAGES if name != "cli")
_FEED = "http://feed:8000/earthquakes-week.geojson"
_RUNS = "/pipelines/earthquakes/runs"


class Composed:
    """One stack: a file of deploy/ with others laid over it."""

    def __init__(self, folder: Path, *overlays: str, base: str = "compose", **more: str) -> None:
        self.secrets = folder / "secrets"
        subprocess.run([ROOT / "tools/secrets", self.secrets], check=True)
        (port,) = free_ports(1)
        self._files = [part for name in (base, *overlays) for part in ("--file", f"deploy/{name}.yml")]
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": _PROJECT,
            "SECRETS": str(self.secrets),
            "API_PORT": str(port),
            **more,
        }
        self.api = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {self.secret('api_key')}"},
            timeout=20,
            limits=httpx.Limits(max_connections=100),
            trust_env=False,
        )

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()

    def compose(self, *arguments: str, seconds: float = 240, **more: str) -> str:
        """What `docker compose` printed; it must go well. `more` goes into its environment."""
        done = self.attempt(*arguments, seconds=seconds, **more)
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def attempt(
        self, *arguments: str, seconds: float = 240, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        """The same, however it goes."""
        return subprocess.run(
            ["docker", "compose", "--ansi", "never", *self._files, *arguments],
            check=False,
            cwd=ROOT,
            env={**self._environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def up(self, *arguments: str) -> None:
        """Starts what does not run; returns once all of it is healthy."""
        try:
            self.compose("up", "--detach", "--wait", "--no-build", *arguments)
        except AssertionError as failed:
            raise AssertionError(f"{failed}\n{self.logs()}") from None

    def remove(self) -> None:
        """Ends all at once and forgets its data."""
        self.api.close()
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "0")

    def container(self, service: str) -> str:
        """The id of a service's one container, also of one that ended."""
        (found,) = self.containers(service)
        return found

    def containers(self, *services: str) -> list[str]:
        return self.compose("ps", "--all", "--quiet", *services).split()

    def inspect(self, *containers: str) -> list[dict[str, Any]]:
        """What the engine knows of them."""
        inspected: list[dict[str, Any]] = json.loads(docker("inspect", *containers))
        return inspected

    def logs(self, *services: str) -> str:
        return self.attempt("logs", "--no-color", "--tail", "40", *(services or ("migrate", *_OURS))).stdout

    def kill(self, service: str) -> None:
        """SIGKILL; the engine takes that for being stopped on purpose, so that nothing starts it again but us."""
        container = self.container(service)
        docker("kill", container)
        docker("wait", container)

    @contextmanager
    def held_feed(self) -> Iterator[None]:
        """Every fetch in this block waits until it ends."""
        self.compose("kill", "--signal", "STOP", "feed")  # to pause it would make it unhealthy
        try:
            yield
        finally:
            self.release_feed()

    def release_feed(self) -> None:
        with suppress(AssertionError):  # it has ended meanwhile
            self.compose("kill", "--signal", "CONT", "feed")

    def submit(self, key: str) -> str:
        """Starts a run as the API's documentation advises: again with the same key until there is a good answer."""

        def answer() -> str | None:
            try:
                response = self.api.post(_RUNS, json={"url": _FEED}, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                return None
            if response.status_code >= 500:
                return None
            assert response.status_code == 202, response.text
            return str(response.json()["run_id"])

        return until(answer, f"{key} is accepted", 90)

    def states(self) -> dict[str, str]:
        """Where each run stands; nothing while the API or the store is away."""
        states: dict[str, str] = {}
        after: dict[str, str] = {}
        while True:
            try:
                answer = self.api.get("/runs", params={"limit": 200, **after})
            except httpx.TransportError:
                return {}
            if answer.status_code == 503:
                return {}
            page = answer.raise_for_status().json()
            states |= {run["id"]: run["state"] for run in page["runs"]}
            if not page["next"]:
                return states
            after = {"after": page["next"]}

    def run(self, run_id: str) -> dict[str, Any]:
        """The run with its timeline."""
        run: dict[str, Any] = self.api.get(f"/runs/{run_id}").raise_for_status().json()
        return run

    def until_running(self, count: int) -> None:
        """Returns once so many runs are in the hands of workers."""
        until(lambda: list(self.states().values()).count("running") >= count, f"{count} runs are running", 60)

    def summaries(self) -> list[str]:
        """The run of each stored summary."""
        return self.sql("SELECT run_id FROM mousetrap_summaries ORDER BY run_id")

    def sql(self, query: str) -> list[str]:
        command = ("psql", "--username", "postgres", "--dbname", "mousetrap", "--no-align", "--tuples-only")
        return self.compose("exec", "-T", "postgres", *command, "--command", query).split()

    def rabbitmqctl(self, *arguments: str, node: str = "rabbitmq") -> str:
        return self.compose("exec", "-T", node, "rabbitmqctl", "--quiet", *arguments)

    def depths(self, node: str = "rabbitmq") -> dict[str, int]:
        """How many messages are in each queue, ready or with a consumer."""
        listed = self.rabbitmqctl(
            "list_queues", "--vhost", "mousetrap", "--no-table-headers", "name", "messages", node=node
        )
        return {name: int(count) for name, count in map(str.split, listed.splitlines())}

    def until_completed(self, run_ids: Sequence[str]) -> None:
        """Returns once all of these are completed, and the store knows of no others."""
        assert len(set(run_ids)) == len(run_ids)
        wanted = dict.fromkeys(run_ids, "completed")
        try:
            until(lambda: self.states() == wanted, f"all {len(wanted)} runs are completed", 120)
        except AssertionError as late:
            states = self.states()
            not_so = {
                run: states.get(run, "unknown")
                for run in wanted | states
                if states.get(run) != wanted.get(run)
            }
            raise AssertionError(f"{late}; not so: {not_so}\n{self.logs()}") from None

    def assert_all_accounted_for(self, run_ids: Sequence[str], *, node: str = "rabbitmq") -> None:
        """Each run completed, with one summary; nothing else is in the store, in the database or in a queue."""
        self.until_completed(run_ids)
        assert self.summaries() == sorted(run_ids)
        # An acknowledgement may still be on its way when the run's end is on record.
        until(lambda: set(self.depths(node).values()) == {0}, "all queues are empty", 90)


def docker(*arguments: str) -> str:
    """What `docker` printed; it must go well."""
    done = subprocess.run(["docker", *arguments], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def composed(folder: Path, *overlays: str, base: str = "compose", **more: str) -> Iterator[Composed]:
    """A stack that is healthy in this block and gone after it, with all that it kept; `more` is in its environment."""
    stack = Composed(folder, *overlays, base=base, **more)
    try:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "0")
        stack.up()
        yield stack
    finally:
        stack.remove()
