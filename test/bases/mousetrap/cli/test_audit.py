"""The audit trail on a terminal of 80 columns."""

from datetime import UTC, datetime

from mousetrap.cli.tables.audit import audit_table
from mousetrap.shapes import AuditEntry, AuditPage
from support.terminal import shown

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
AT_MS = int(NOW.timestamp() * 1000)


def test_acts_fit_into_80_columns() -> None:
    entries = (
        AuditEntry(
            at_ms=AT_MS, who="operator-of-the-night", act="redrive", outcome="accepted", count=1204,
            reason="ticket 81", what={"filter": {"reason": "contract", "queue": "start_fetch"}, "operation": "0" * 32},
        ),
        AuditEntry(at_ms=AT_MS, who="ops", act="cancel", outcome="run-ended", count=0, what={"run": "1" * 32}),
        AuditEntry(at_ms=AT_MS, who="ops", act="discard", outcome="StoreUnreachable", what={"filter": {"ids": ["a", "b"]}}),
        AuditEntry(at_ms=AT_MS, who="ops", act="discard", outcome="done", count=3, what={"filter": {"all": True}}),
    )  # fmt: skip

    table = shown(audit_table(AuditPage(entries=entries, next="1-0"), NOW))

    assert max(map(len, table.splitlines())) <= 80
    for part in (
        "1,204",
        "ticket 81",
        "2 ids",
        "run-ended",
        "all True",
        "mousetrap audit --after 1-0",
    ):
        assert part in table


def test_without_an_act_one_line_is_shown_with_where_to_look_further() -> None:
    assert shown(audit_table(AuditPage(entries=()), NOW)) == "no act matches"
    assert "--after 5-0" in shown(audit_table(AuditPage(entries=(), next="5-0"), NOW))
