"""Installs packages of Debian that tests need, where we may."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_REFUSE_STARTS = Path("/usr/sbin/policy-rc.d")


def install(package: str, name: str, *more: str) -> None:
    """Installs Debian's package, without the service that the package would start on its usual port."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print(f"\n{name} is needed: installing {package} with apt-get (once)", file=sys.stderr, flush=True)
    ours = not _REFUSE_STARTS.exists()
    if ours:
        _REFUSE_STARTS.write_text("#!/bin/sh\nexit 101\n")
        _REFUSE_STARTS.chmod(0o755)
    try:
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", package, *more)
    finally:
        if ours:
            _REFUSE_STARTS.unlink()


def _apt(*arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *arguments],  # another suite may be at it
        check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(f"apt-get {arguments[0]} failed:\n{done.stderr[-2000:]}", file=sys.stderr)
