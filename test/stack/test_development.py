"""Broker, store and database alone serve a checkout on the host."""

import subprocess
from pathlib import Path

from stack.composed import composed
from support.ports import free_ports
from support.processes import base_command, clean_environment


def test_the_development_servers_serve_a_shell_that_has_read_their_addresses(tmp_path: Path) -> None:
    names = ("RABBITMQ_PORT", "RABBITMQ_UI_PORT", "VALKEY_PORT", "POSTGRES_PORT")
    ports = {name: str(port) for name, port in zip(names, free_ports(4), strict=True)}

    with composed(tmp_path, base="development", **ports) as stack:
        done = subprocess.run(
            [
                "/bin/sh",
                "-c",
                '. "$0" && exec "$@"',
                stack.secrets / "development.env",
                *base_command("cli", "migrate"),
            ],
            check=False,
            env=clean_environment(**ports),
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert "data_processing" in stack.depths()
        assert stack.sql("SELECT count(*) FROM mousetrap_summaries") == ["0"]
