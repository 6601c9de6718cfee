"""Tests that a ledger is readable while it grows."""

from pathlib import Path

from chaos.ledger import Ledger, Reader


def test_half_a_line_of_a_killed_writer_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger, reader = Ledger(path), Reader(path)
    ledger.note("begun", run="one", kind="plain")
    with path.open("ab") as file:
        file.write(path.read_bytes()[:40])
    before = [line.run for line in reader.all()]

    ledger.note("done", run="two", kind="plain")
    after = [line.run for line in reader.all()]
    ledger.close()
    reader.close()

    assert before == ["one"]
    assert after == ["one", "two"]
