"""Finds the pipelines of this workspace, now and at a commit."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mousetrap.api_client import CommandFailed, Misused
from mousetrap.catalogue import PIPELINES
from mousetrap.cli.targets import listed_modules
from mousetrap.discovery import discover
from mousetrap.pipeline import ManifestBroken, Pipeline, PipelineManifest, read_manifests

#: Run at the root of another commit: bricks come from there alone, and what it prints is read by us.
_SCRIPT = """import os, sys
from importlib.util import find_spec
from pathlib import Path
root = Path.cwd()
own = [str(root / place) for place in ("bases", "components") if (root / place / "mousetrap").is_dir()]
ours = [each for each in sys.path if each.endswith("-packages") or not Path(each or ".", "mousetrap").is_dir()]
sys.path[:] = [*own, str(root), *(ours if own else sys.path)]
from mousetrap.pipeline import schema
def is_there(target):
    name = target.partition(":")[0]
    if name.endswith(".py") or "/" in name or name in (".", ".."):
        return Path(name).exists()
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise
        return False
targets = [each for each in sys.argv[2:] if is_there(each)]
pipelines = {}
try:
    from mousetrap import catalogue
    pipelines.update(catalogue.PIPELINES)
    workers = getattr(catalogue, "WORKERS", {}).values()
    targets[:0] = [module for each in workers for module in getattr(each, "modules", ())]
except ImportError:
    if not targets:
        raise
if targets:
    from mousetrap.discovery import discover
    found = discover(targets)
    if found.failures:
        sys.exit("\\n".join(map(str, found.failures)))
    pipelines.update(found.pipelines)
import msgspec
def stage(it):
    serializer = getattr(it, "serializer", "json")
    return {
        "name": it.name, "queue": it.queue, "input": schema(it.input), "output": schema(it.output),
        "retry": {"attempts": it.retry.attempts, "base": it.retry.base, "cap": it.retry.cap,
                  "on_timeout": it.retry.on_timeout},
        "timeout": it.timeout, "serializer": getattr(serializer, "name", serializer),
    }
def written():
    try:
        from mousetrap.pipeline import write_manifests
    except ImportError:  # a commit from before there were any
        return msgspec.json.encode([
            {"name": it.name, "description": it.description, "stages": [stage(each) for each in it.stages]}
            for it in pipelines.values()
        ])
    return write_manifests(pipelines)
Path(sys.argv[1]).write_bytes(written())
"""


def known_pipelines(targets: Sequence[str]) -> Mapping[str, Pipeline]:
    """Those of the catalogue, of its workers' modules and of `targets`. Raises Misused where one cannot be loaded."""
    found = discover([*listed_modules(), *targets])
    if found.failures:
        raise Misused("; ".join(map(str, found.failures)))
    return {**PIPELINES, **found.pipelines}


def manifests_at(place: str, targets: Sequence[str]) -> tuple[PipelineManifest, ...]:
    """Those in a file, or of a commit's own code: its catalogue, and the targets that it has already.

    Raises Misused for what is neither, CommandFailed where its code fails.
    """
    if Path(place).is_file():
        try:
            return read_manifests(Path(place).read_bytes())
        except ManifestBroken as error:
            raise Misused(f"{place}: {error}. `mousetrap contracts record FILE` writes one") from error
    root = Path(
        _git(
            "rev-parse", "--show-toplevel", otherwise=f"there is no file {place}, and no git repository here"
        )
    )
    commit = _git(
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{place}^{{commit}}",
        otherwise=f"{place} is neither a file nor a commit",
    )
    with TemporaryDirectory(prefix="mousetrap-contracts-") as folder:
        tree = Path(folder, "tree")
        _git(
            "worktree",
            "add",
            "--quiet",
            "--detach",
            str(tree),
            commit,
            otherwise=f"{place} cannot be checked out",
        )
        try:
            return _manifests_of(
                tree / Path.cwd().relative_to(root), Path(folder, "manifests"), targets, place
            )
        finally:
            _git(
                "worktree",
                "remove",
                "--force",
                str(tree),
                otherwise="the temporary worktree cannot be removed",
            )


def _manifests_of(
    folder: Path, file: Path, targets: Sequence[str], place: str
) -> tuple[PipelineManifest, ...]:
    # An absolute path would lead to the code of now.
    own = [os.path.relpath(each) if Path(each).is_absolute() else each for each in targets]
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(file), *own],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it ended without a word"]
        raise CommandFailed(
            f"the code of {place} cannot be imported by {sys.executable}: {last[0]}. Record its contracts in a file "
            "(`mousetrap contracts record FILE` there), and compare with that"
        )
    return read_manifests(file.read_bytes())


def _git(*arguments: str, otherwise: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise Misused(f"{otherwise} (git is not installed)") from None
    if done.returncode:
        raise Misused(f"{otherwise} {done.stderr.strip()}".strip())
    return done.stdout.strip()
