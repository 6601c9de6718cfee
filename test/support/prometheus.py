"""Runs Prometheus and promtool of Debian's package."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from support.clients import http_client
from support.packages import install
from support.ports import free_ports
from support.processes import Process, clean_environment
from support.waiting import until

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yml"
CONFIGURATION = ROOT / "deploy/prometheus/prometheus.yml"


def program(name: str) -> str:
    """Where `prometheus` or `promtool` is; installed where we may."""
    if not shutil.which(name):
        install("prometheus", "Prometheus")
    found = shutil.which(name)
    assert found, "Prometheus is not on the PATH: install it, as by `apt-get install prometheus`"
    return found


def promtool(*arguments: str | Path) -> tuple[int, str]:
    """The exit code, and the output."""
    done = subprocess.run(
        [program("promtool"), *map(str, arguments)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout


def scraping(targets: Mapping[str, Sequence[str]], key: Path) -> dict[str, Any]:
    """The configuration of deploy/, with these addresses for its jobs, and faster."""
    found: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    found["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for job in found["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": list(targets[job["job_name"]])}]
        if "authorization" in job:
            job["authorization"] = {"credentials_file": str(key)}
    return found


class Prometheus:
    """A server that scrapes, with the rules of deploy/."""

    def __init__(self, folder: Path, configuration: Mapping[str, Any]) -> None:
        folder.mkdir()
        (folder / "prometheus.yml").write_text(yaml.safe_dump(dict(configuration)))
        shutil.copy(RULES, folder)
        (port,) = free_ports(1)
        self._process = Process(
            [
                program("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            clean_environment(),
        )
        self.api = http_client(f"http://127.0.0.1:{port}")
        until(self._is_ready, "Prometheus is ready")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that the expression has now."""
        answer = self.api.get("/api/v1/query", params={"query": expression})
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def unhealthy(self) -> dict[str, str]:
        """The last error of each target that could not be scraped."""
        targets = self.api.get("/api/v1/targets").raise_for_status().json()["data"]["activeTargets"]
        return {each["scrapeUrl"]: each["lastError"] for each in targets if each["health"] != "up"}

    def close(self) -> None:
        self.api.close()
        self._process.kill()

    def _is_ready(self) -> bool:
        assert self._process.running, self._process.output
        try:
            return self.api.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False
