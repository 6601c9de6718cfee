"""Starts an S3-compatible server: OpenStack Swift, from Debian's packages."""

import datetime
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest

from mousetrap.payloads import Backend, S3Backend
from support.packages import install
from support.ports import free_ports
from support.processes import Process, clean_environment
from support.waiting import until

#: One process has the server: to start it takes six seconds of processor time, more than most tests with it.
ON_ONE_S3 = pytest.mark.xdist_group("s3")
_PACKAGES = ("swift-proxy", "swift-object", "swift-container", "swift-account")
#: Seconds; four Python programs start side by side.
_START_TIMEOUT_S = 100.0
#: The user's name is the access key, as Swift has it.
ACCESS_KEY, SECRET_KEY = "test:tester", "a-secret-of-the-tests"

_SWIFT = """[swift-hash]
swift_hash_path_suffix = tests
[storage-policy:0]
name = Policy-0
default = yes
"""
_SERVER = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
log_level = ERROR
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
_PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
log_level = ERROR
[pipeline:main]
pipeline = catch_errors cache listing_formats s3api tempauth bulk slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
"""


class S3Server:
    """Swift with one device in a folder: a proxy that speaks S3, and servers of objects, containers and accounts.

    It keeps its port and its data from start to start.
    """

    def __init__(self, folder: Path) -> None:
        if not _is_installed():
            install(_PACKAGES[0], "an S3-compatible server", *_PACKAGES[1:])
        assert _is_installed(), (
            f"the tests need an S3-compatible server: apt-get install {' '.join(_PACKAGES)}"
        )
        self._folder = folder
        self._proxy: Process | None = None
        proxy, *ports = free_ports(4)
        self.endpoint = f"http://127.0.0.1:{proxy}"
        self._environment = clean_environment()
        (folder / "devices" / "d1").mkdir(parents=True)
        (folder / "swift.conf").write_text(_SWIFT)
        self._write("proxy", _PROXY, proxy)
        for name, port in zip(("account", "container", "object"), ports, strict=True):
            self._write(name, _SERVER, port)
            self._ring(name, port)
        self._others = [self._start(name) for name in ("account", "container", "object")]
        try:
            self.start()
        except BaseException:
            self.remove()
            raise

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs in its environment to use it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Returns once it answers."""
        if self._proxy is None:
            self._proxy = self._start("proxy")
        until(self._answers, f"the S3 server at {self.endpoint} answers", _START_TIMEOUT_S)

    def stop(self) -> None:
        """From now on nothing answers."""
        if self._proxy is not None:
            self._proxy.kill()
            self._proxy = None

    def remove(self) -> None:
        """Ends it."""
        self.stop()
        for each in self._others:
            each.kill()

    def bucket(self, name: str) -> Any:
        """A new bucket, as obstore has it."""
        store = import_module("obstore.store").S3Store(
            name, **self._client()
        )  # a test without it needs no obstore
        url = import_module("obstore").sign(store, "PUT", "", datetime.timedelta(minutes=1))
        until(lambda: httpx.put(url, timeout=30).is_success, f"bucket {name} is made", _START_TIMEOUT_S)
        return store

    def _client(self) -> dict[str, Any]:
        return {
            "endpoint": self.endpoint,
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
            "region": "us-east-1",
            "client_options": {"allow_http": True},
        }

    def _start(self, name: str) -> Process:
        command = [f"/usr/bin/swift-{name}-server", str(self._folder / f"{name}.conf")]
        return Process(command, self._environment)

    def _write(self, name: str, text: str, port: int) -> None:
        user = os.environ.get("USER", "root")
        facts = {"name": name, "port": port, "user": user, "folder": self._folder, "secret": SECRET_KEY}
        (self._folder / f"{name}.conf").write_text(text.format(**facts))

    def _ring(self, name: str, port: int) -> None:
        builder = str(self._folder / f"{name}.builder")
        for arguments in (
            ("create", "4", "1", "1"),
            ("add", f"r1z1-127.0.0.1:{port}/d1", "1"),
            ("rebalance",),
        ):
            command = ["/usr/bin/swift-ring-builder", builder, *arguments]
            done = subprocess.run(command, env=self._environment, check=False, capture_output=True, text=True)
            assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"

    def _answers(self) -> bool:
        try:
            return httpx.get(self.endpoint, timeout=5).status_code < 500
        except httpx.HTTPError:
            return False


def _is_installed() -> bool:
    return all(shutil.which(f"swift-{name}-server") for name in ("proxy", "object", "container", "account"))


@dataclass(frozen=True)
class Bucket:
    """A bucket for one test alone."""

    server: S3Server
    #: For MOUSETRAP_PAYLOAD_URL.
    url: str
    #: The bucket itself, to look at and to harm.
    objects: Any

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Backend]:
        """The backend of payloads in this bucket."""
        yield S3Backend(self.url)

    def put(self, key: str, data: bytes) -> None:
        """Keeps an object, as others than Mousetrap would."""
        import_module("obstore").put(self.objects, key, data)

    def keys(self) -> list[str]:
        """The keys of all objects."""
        return sorted(each["path"] for each in import_module("obstore").list(self.objects).collect())
