"""The commands `operations …`, and how a command stays with its operation."""

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mousetrap.cli.options import AsJson
from mousetrap.cli.session import open_api

if TYPE_CHECKING:
    from mousetrap.api_client import Api, Reply
    from mousetrap.shapes import Operation

#: Between two looks at an operation that a command stays with.
_LOOK_S = 0.3

app = typer.Typer(help="Look at repairs of many that go on in the server, and stop them.")

OperationId = Annotated[str, typer.Argument(metavar="ID", help="The operation's id, or its beginning.")]
Wait = Annotated[bool, typer.Option("--follow/--no-follow", help="Stay until it has ended.")]
Why = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="Why you do this, for the audit trail and the logs.")
]
Rate = Annotated[float, typer.Option(min=0.1, max=1000, help="How many a second, at most.")]
Limit = Annotated[int | None, typer.Option(min=1, help="The most in all.")]


@app.callback(invoke_without_command=True)
def _default(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        list_operations(as_json=as_json)


@app.command("list")
def list_operations(
    state: Annotated[
        str | None, typer.Option(help="Only those in this state: running, stopped, done, failed.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    after: Annotated[str | None, typer.Option(help="Go on where an earlier page ended.")] = None,
    as_json: AsJson = False,
) -> None:
    """List operations, newest first, and how far they are."""
    from mousetrap.cli.output import local_time, print_reply
    from mousetrap.cli.tables.operations import operations_table

    with open_api(quiet=as_json) as api:
        reply = api.operations(state, limit=limit, after=after)
    print_reply(reply, as_json, lambda page: operations_table(page, local_time()))


@app.command()
def show(operation: OperationId, as_json: AsJson = False) -> None:
    """Show what an operation is to do, by whom and why, and how far it is."""
    from mousetrap.cli.output import local_time, print_reply
    from mousetrap.cli.tables.operations import operation_facts

    with open_api(quiet=as_json) as api:
        reply = api.operation(_whole(api, operation))
    print_reply(reply, as_json, lambda shown: operation_facts(shown, local_time()))


@app.command()
def stop(operation: OperationId, why: Why = "", as_json: AsJson = False) -> None:
    """Stop an operation; what it did stays. Exits 1 when it has ended already."""
    from mousetrap.cli.output import local_time, print_reply
    from mousetrap.cli.tables.operations import operation_facts

    with open_api(quiet=as_json, why=why) as api:
        reply = api.stop_operation(_whole(api, operation))
    print_reply(reply, as_json, lambda shown: operation_facts(shown, local_time()))


class Following(NamedTuple):
    """How a command stays with the operation that it began."""

    wait: bool = True
    as_json: bool = False


def follow_operation(api: "Api", begun: "Reply[Operation]", how: Following) -> "Operation | None":
    """The operation at its end; None where the command does not wait, which is printed then."""
    from mousetrap.api_client import Misused
    from mousetrap.cli.output import argument, print_json, print_line, terminal

    operation = begun.value
    if not how.wait and operation.state == "running":
        if how.as_json:
            print_json(begun.json)
        else:
            print_line(
                f"operation {operation.id} goes on: `mousetrap operations show {argument(operation.id)}`"
            )
        return None
    reply, console = begun, terminal(stderr=True, quiet=how.as_json)
    try:
        with console.status(_how_far(operation)) as status:
            while reply.value.state == "running":
                time.sleep(_LOOK_S)
                reply = api.operation(operation.id)
                status.update(_how_far(reply.value))
    except KeyboardInterrupt:
        print_line(
            f"operation {operation.id} goes on: `mousetrap operations stop {operation.id}`", error=True
        )
        raise
    except Misused:  # a key with the scope operate alone
        print_line(f"operation {operation.id} goes on; a key with the scope read follows it", error=True)
        return None
    if how.as_json:
        print_json(reply.json)
    return reply.value


def print_end(operation: "Operation", done: str, *, quiet: bool) -> None:
    """Prints what an operation on runs came to. Raises CommandFailed where it was stopped, or some were refused."""
    from mousetrap.api_client import CommandFailed
    from mousetrap.cli.output import print_line

    if not operation.matched and operation.state == "done":
        raise CommandFailed("no run matches: `mousetrap runs` lists them")
    if not quiet:
        print_line(f"{operation.done} {done}")
        if operation.stale:
            print_line(f"{operation.stale} left as they are: they had ended, or are forgotten")
        if operation.unseen != 0:
            print_line("more runs match than one operation takes: repeat the command for them")
    check_end(operation)


def check_end(operation: "Operation") -> None:
    """Raises CommandFailed where an operation was stopped or failed, or where targets were refused."""
    from mousetrap.api_client import CommandFailed

    if operation.state in ("stopped", "failed"):
        why = f": {operation.failures[0].error}" if operation.state == "failed" and operation.failures else ""
        raise CommandFailed(
            f"operation {operation.id} has {operation.state}{why}: {operation.left} were not tried"
        )
    if operation.failed:
        first = operation.failures[0]
        raise CommandFailed(
            f"{operation.failed} could not be done, as {first.target}: {first.error} (`mousetrap operations show {operation.id}`)"
        )


def _how_far(operation: "Operation") -> str:
    if operation.finding:
        return f"{operation.kind}: {operation.matched} found"
    waits = f" (waits: {operation.waits})" if operation.waits else ""
    return f"{operation.kind}: {operation.matched - operation.left} of {operation.matched}{waits}"


def _whole(api: "Api", given: str) -> str:
    """The id of the operation that `given` begins. Raises Misused where several begin so."""
    from mousetrap.api_client import Misused

    given = given.removesuffix("…")
    with suppress(Misused):
        return api.operation(given).value.id
    found = [it.id for it in api.operations(limit=200).value.operations if it.id.startswith(given)]
    if len(found) > 1:
        raise Misused(f"several operations begin with {given}: {', '.join(found[:10])}")
    return found[0] if found else given
