"""Generates values that a setting may be given by accident."""

from hypothesis import strategies as st

from mousetrap.catalogue import SETTINGS
from mousetrap.settings import ENGINE, entries
from support.characters import ANY_TEXT

#: The variables of all settings.
NAMES = [f"MOUSETRAP_{name.upper()}" for name in entries((ENGINE, *SETTINGS))]

_NUMBERS = st.sampled_from(
    [
        "0",
        "-1",
        "00",
        "1e3",
        "1e400",
        "nan",
        "inf",
        "-inf",
        "0.0001",
        "1_000",
        "٣",
        "²",
        "0x10",
        "9" * 5_000,
        "1" * 30,
    ]
)
_PIECES = st.sampled_from(
    [
        *(
            "amqp://",
            "amqps://",
            "valkey://",
            "rediss://",
            "unix://",
            "http://",
            "sqlite:///",
            "postgresql+psycopg://",
        ),
        *(
            "u",
            ":",
            "p",
            "@",
            "localhost",
            "127.0.0.1",
            "[::1]",
            "[",
            "]",
            ":6379",
            ":99999",
            ":-1",
            ",",
            "/",
            "/0",
        ),
        *(
            "/abc",
            "%",
            "%zz",
            "%2F",
            "%00",
            "?",
            "db=1",
            "heartbeat=5",
            "&",
            "=",
            "#",
            " ",
            ".",
            "..",
            "*",
            "+",
            "'",
        ),
        *(
            "k",
            "kk:0123456789abcdef",
            "run",
            "0" * 64,
            "true",
            "quorum",
            "INFO",
            "\\",
            '"',
            "\x85",
            "\udcff",
            "\0",
            "\n",
        ),
    ]
)
_ADDRESSES = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(
        ["amqp://", "amqps://", "valkey://", "valkeys://", "redis://", "unix://", "http://", "https://"]
    ),
    st.sampled_from(["", "u:p@", ":p@", "u@", "u:CHANGE_ME@", "@"]) | ANY_TEXT.map("{}@".format),
    st.sampled_from(["localhost", "127.0.0.1:1", "[::1]", "a,b", "", "a..b", "x" * 64, "bücher"]) | ANY_TEXT,
    st.sampled_from(["", "/", "/0", "/99", "/abc", "/1/2", "//", "/%2F"]) | ANY_TEXT.map("/{}".format),
    st.sampled_from(["", "?heartbeat=5", "?timeout=x", "?db=1", "?", "#x", "?ssl_cert_reqs=none&x"]),
)
#: Odd texts, numbers, addresses, and what comes of joining pieces of right values wrongly.
ANY_VALUE = ANY_TEXT | _NUMBERS | _ADDRESSES | st.lists(_PIECES, max_size=12).map("".join)
