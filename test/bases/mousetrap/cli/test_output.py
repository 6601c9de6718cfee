"""What is printed where there is no terminal."""

from io import StringIO

from mousetrap.cli.output import terminal
from mousetrap.cli.tables.style import table_of


def test_a_line_of_a_table_that_is_piped_has_no_spaces_at_its_end() -> None:
    table = table_of("job", "what")
    table.add_row("61aa", "")
    table.add_row("5f0c", "a longer one")
    out = StringIO()

    terminal(out, width=80).print(table)

    assert out.getvalue() == "job   what\n" + "─" * 18 + "\n61aa\n5f0c  a longer one\n"
