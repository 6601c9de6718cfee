"""The commands `keys …`: new, signing."""

from typing import Annotated

import typer

app = typer.Typer(help="Make keys for the API and for signing messages.", no_args_is_help=True)

#: The same as `Scope` of mousetrap.api_keys, whose import would make `--help` slow; a test compares both.
SCOPES = (
    "What it may do: read (see runs, results, queues, dead letters), run (start runs), operate (cancel, rerun, redrive, "
    "discard, see the audit trail). Give it once for each; none includes another."
)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    scope: Annotated[list[str], typer.Option(help=SCOPES)],
    days: Annotated[
        int | None,
        typer.Option(min=1, max=36_500, help="The key ends after so many days; else it never does."),
    ] = None,
) -> None:
    """Make a key for the API: it is shown once, the API gets its hash alone."""
    import secrets
    from datetime import UTC, datetime, timedelta

    from mousetrap.api_client import Misused
    from mousetrap.api_keys import new_key

    last_day = datetime.now(UTC).date() + timedelta(days=days) if days else None
    try:
        key, entry = new_key(name, scope, secrets.token_bytes(32), last_day=last_day)
    except ValueError as error:
        raise Misused(str(error)) from error
    print(f"# for {name}{f', good until {last_day} (UTC)' if last_day else ''}; it is shown this once")
    print(f"export MOUSETRAP_API_KEY={key}")
    print("# for the API; several entries are separated by commas")
    print(f"export MOUSETRAP_API_KEYS={entry}")


@app.command()
def signing() -> None:
    """Make a key that signs messages between the API and the workers."""
    from mousetrap.signing import new_signing_key

    print(new_signing_key())
