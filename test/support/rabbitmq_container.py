"""Runs RabbitMQ in a container of its own."""

import gc
import os
import warnings
from typing import Any

import docker
from docker.errors import DockerException

from support.ports import free_ports
from support.rabbitmq_api import answers
from support.rabbitmq_node import TRIED_AGAIN_MS
from support.waiting import until

_IMAGE = os.environ.get("RABBITMQ_IMAGE", "rabbitmq:4-management")


def engine_answers() -> bool:
    """Whether there is a container engine, asked with a short timeout."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ResourceWarning
        )  # the client leaves a socket open where nothing answers
        answered = _ping()
        gc.collect()
    return answered


def _ping() -> bool:
    try:
        engine = docker.from_env(timeout=3)
    except DockerException:
        return False
    try:
        return bool(engine.ping())
    except DockerException:
        return False
    finally:
        engine.close()


class RabbitMQContainer:
    """A broker that keeps its ports and its data from start to start, until removed."""

    def __init__(self) -> None:
        # Ports of our choice: those that the engine chooses change when the container is started again.
        port, api_port = free_ports(2)
        self._container = _container(_IMAGE).with_bind_ports(5672, port).with_bind_ports(15672, api_port)
        # What found no next queue, as while a broker starts, is passed on again sooner than after the usual three minutes.
        again = f"-rabbit dead_letter_worker_publisher_confirm_timeout {TRIED_AGAIN_MS}"
        self._container.with_env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", again)
        try:
            self._container.start()
            host = self._container.get_container_host_ip()
            self.url = f"amqp://guest:guest@{host}:{port}/"
            self.api = f"http://{host}:{api_port}"
            self._wait()
        except BaseException:
            self.remove()
            raise

    @property
    def running(self) -> bool:
        self._wrapped.reload()
        return bool(self._wrapped.status == "running")

    @property
    def pid(self) -> None:
        return None

    def start(self) -> None:
        if not self.running:
            self._wrapped.start()
            self._wait()

    def restart(self) -> None:
        self._wrapped.stop(timeout=60)
        self.start()

    def kill(self) -> None:
        if self.running:
            self._wrapped.kill()
            self._wrapped.wait(timeout=20)

    def rabbitmqctl(self, *arguments: str) -> str:
        done = self._container.exec(["rabbitmqctl", "--quiet", *arguments])
        output: str = done.output.decode()
        assert done.exit_code == 0, f"rabbitmqctl {' '.join(arguments)} failed:\n{output}"
        return output

    def remove(self) -> None:
        self._container.stop()

    @property
    def _wrapped(self) -> Any:
        return self._container.get_wrapped_container()

    def _wait(self) -> None:
        until(lambda: answers(self), f"{_IMAGE} answers", seconds=90)


def _container(image: str) -> Any:
    # Testcontainers reads these two when it is imported. Its cleaner is one more image to pull, where our fixture removes
    # the container anyway; and the bridge's address, its other way in, is not reachable from everywhere.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    from testcontainers.core.container import DockerContainer

    return DockerContainer(image)
