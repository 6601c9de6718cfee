"""What is printed where there is no terminal."""

import sys
from io import StringIO

import pytest

from mousetrap.cli.output import print_line, terminal
from mousetrap.cli.tables.style import table_of


def test_a_line_of_a_table_that_is_piped_has_no_spaces_at_its_end() -> None:
    table = table_of("job", "what")
    table.add_row("61aa", "")
    table.add_row("5f0c", "a longer one")
    out = StringIO()

    terminal(out, width=80).print(table)

    assert out.getvalue() == "job   what\n" + "─" * 18 + "\n61aa\n5f0c  a longer one\n"


@pytest.mark.parametrize("error", [False, True])
def test_a_line_is_one_write_so_that_those_of_several_threads_are_not_mixed(
    monkeypatch: pytest.MonkeyPatch, error: bool
) -> None:
    written: list[str] = []
    monkeypatch.setattr(sys.stderr if error else sys.stdout, "write", written.append)

    print_line("stopped: all work finished", error=error)

    assert written == ["stopped: all work finished\n"]
