"""The commands `contracts …`: record, check."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mousetrap.cli.options import AsJson
from mousetrap.cli.session import environment, open_api, read_settings

if TYPE_CHECKING:
    from mousetrap.contract_changes import Change
    from mousetrap.pipeline import Pipeline

app = typer.Typer(
    help="Find which changes of contracts break messages that are in flight.", no_args_is_help=True
)

Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--module", metavar="TARGET", help="Tasks beside the catalogue: else those of MOUSETRAP_MODULES."
    ),
]


@app.command()
def record(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to keep the contracts of now.")],
    modules: Modules = None,
) -> None:
    """Write the contracts of all pipelines as JSON, to compare with later: keep the file with the code."""
    from mousetrap.api_client import Misused
    from mousetrap.cli.known_contracts import known_pipelines
    from mousetrap.cli.output import print_line
    from mousetrap.pipeline import write_manifests

    pipelines = known_pipelines(_targets(modules))
    try:
        file.write_bytes(write_manifests(pipelines) + b"\n")
    except OSError as error:
        raise Misused(f"{file} cannot be written: {error.strerror}") from error
    print_line(f"wrote {file}: {', '.join(sorted(pipelines))}")


@app.command()
def check(
    against: Annotated[
        str, typer.Option(metavar="FILE|GIT_REF", help="What `contracts record` wrote, or a commit.")
    ],
    modules: Modules = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Also read the inputs of runs in flight and of dead letters from the API."
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="List changes that break nothing, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Report which changes of contracts break messages in flight, and how to deploy them. Exits 1 where one does."""
    import msgspec

    from mousetrap.cli.known_contracts import known_pipelines, manifests_at
    from mousetrap.cli.output import print_json, print_line
    from mousetrap.contract_changes import compare
    from mousetrap.pipeline import manifest_of

    targets = _targets(modules)
    now = known_pipelines(targets)
    changes = compare(manifests_at(against, targets), [manifest_of(each) for each in now.values()])
    unread = _unread(now, quiet=as_json) if live else {}
    if as_json:
        shown = [{**msgspec.to_builtins(each), "advice": each.advice} for each in changes]
        print_json(msgspec.json.encode({"changes": shown, "unread": unread}))
    else:
        for line in (*_lines(changes, verbose), *(f"in flight: {text}" for text in unread.values())):
            print_line(line)
    if unread or any(each.breaks for each in changes):
        raise typer.Exit(1)


def _targets(modules: list[str] | None) -> "Sequence[str]":
    from mousetrap.cli.targets import targets_beside

    return targets_beside(modules, read_settings(environment(quiet=True)))


def _lines(changes: "tuple[Change, ...]", verbose: bool) -> list[str]:
    breaking = [each for each in changes if each.breaks]
    lines = [
        f"breaks {each.breaks} {_place(each)}: {each.what}\n  deploy: {each.advice}" for each in breaking
    ]
    if verbose:
        lines += [f"compatible {_place(each)}: {each.what}" for each in changes if not each.breaks]
    others = len(changes) - len(breaking)
    return [*lines, f"{len(breaking)} breaking, {others} compatible" if changes else "no contract changed"]


def _place(change: "Change") -> str:
    return " ".join(filter(None, (".".join(filter(None, (change.pipeline, change.stage))), change.where)))


def _unread(now: "Mapping[str, Pipeline]", *, quiet: bool) -> dict[str, str]:
    """By stage, how many inputs that are in flight or dead its workers of now would refuse, with one of them."""
    from mousetrap.cli.in_flight import jobs_in_flight
    from mousetrap.pipeline import ContractBroken, SerializerMissing, read_payload

    stages = {f"{it.name}.{stage.name}": stage for it in now.values() for stage in it.stages}
    refused: Counter[str] = Counter()
    example: dict[str, str] = {}
    with open_api(quiet=quiet) as api:
        for job in jobs_in_flight(api):
            name = f"{job.pipeline}.{job.stage}"
            try:
                if name not in stages:
                    raise ContractBroken("the stage is not there any more")
                read_payload(job.written, stages[name])
            except (ContractBroken, SerializerMissing) as error:
                refused[name] += 1
                example.setdefault(name, f"as of run {job.run_id}: {error}")
    return {
        stage: f"{count} inputs of {stage} are refused, {example[stage]}" for stage, count in refused.items()
    }
