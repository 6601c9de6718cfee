"""Tests that contracts of pydantic hold and never show the input."""

import dataclasses
import math
import subprocess
import sys
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, computed_field, field_validator
from pydantic.dataclasses import dataclass as pydantic_dataclass

from mousetrap.pipeline import ContractBroken, Stage, read, schema, write


class Word(BaseModel):
    """A word and how often it is there."""

    model_config = ConfigDict(extra="forbid")

    text: str
    times: int = Field(default=1, ge=1, alias="timesSeen")
    weight: float | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def length(self) -> int:
        """How many characters it has."""
        return len(self.text)


class Other(BaseModel):
    """A model beside it, for unions."""

    kind: str

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind == "odd":
            raise ValueError("the kind must be even")
        if kind == "fails":
            raise KeyError(kind)
        return kind


@pydantic_dataclass
class Checked:
    """A dataclass that pydantic checks."""

    n: Annotated[int, Field(gt=0)]


@dataclasses.dataclass
class Pair:
    """A dataclass of the standard library with a model inside."""

    word: Word
    n: int = 0


CONTRACTS: list[tuple[Any, Any]] = [
    (Word, Word(text="a", timesSeen=3)),
    (list[Word], [Word(text="a"), Word(text="b", weight=1.5)]),
    (dict[str, Word], {"a": Word(text="a")}),
    (Word | None, None),
    (Word | Other, Other(kind="x")),
    (Pair, Pair(Word(text="a"), 2)),
    (Checked, Checked(3)),
    (Annotated[int, Field(gt=3)], 4),
]


@pytest.mark.parametrize(("contract", "value"), CONTRACTS, ids=lambda each: repr(each)[:40])
def test_a_value_comes_back_as_it_was_written(contract: Any, value: Any) -> None:
    Stage(name="a", queue="a", input=contract, output=contract)

    assert read(write(value, contract), contract) == value


@pytest.mark.parametrize(
    ("raw", "contract", "what", "where"),
    [
        (b'{"text": "a", "timesSeen": 0}', Word, "greater than or equal to 1", "$.timesSeen"),
        (b'{"timesSeen": 2}', Word, "Field required: `text`", "$"),
        (b'[{"text": "a"}, {"text": 1}]', list[Word], "valid string", "$[1].text"),
        (b'{"a": {"text": "a", "more": 1}}', dict[str, Word], "Extra inputs", "$.a.more"),
        (b'{"word": {"text": 3}}', Pair, "valid string", "$.word.text"),
        (b'{"text": "a", "weight": NaN}', Word, "malformed", "$"),
        (b'{"text": "a", "weight": 1e999}', Word, "out of range", "$[...]"),
        (b'{"text": "\xff"}', Word, "utf-8", "$"),
        (b"[" * 100_000, list[Word], "recursion", "$"),
        (b'{"kind": "odd"}', Other, "the kind must be even", "$.kind"),
        (b'{"kind": "fails"}', Other, "its own check raised KeyError: 'fails'", "$"),
        (b'{"n": 0}', Checked, "greater than 0", "$.n"),
        (b"3", Annotated[int, Field(gt=3)], "greater than 3", "$"),
        (b'{"x": 1}', Word | Other, "Field required", "$"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(
    raw: bytes, contract: Any, what: str, where: str
) -> None:
    with pytest.raises(ContractBroken, match=f"(?i){what}") as broken:
        read(raw, contract)

    assert broken.value.where == where


def test_the_error_and_its_traceback_do_not_show_the_input() -> None:
    with pytest.raises(ContractBroken) as broken:
        read(b'{"text": ["hunter2"]}', Word)

    text = str(broken.getrepr(style="long", chain=True)) + repr(broken.value)
    assert broken.value.__cause__ is None
    assert broken.value.__context__ is None
    assert "hunter2" not in repr(broken.value)
    assert "input_value" not in text


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (object(), "no JSON form"),
        (3, "should be an object"),
        (Word.model_construct(text="a", times=0), "greater than or equal to 1"),
        (Word(text="a", weight=math.nan), r"nan is no JSON number \(at \$.weight\)"),
        (Word(text="a", weight=-math.inf), r"-inf is no JSON number \(at \$.weight\)"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value: object, what: str) -> None:
    with pytest.raises(ContractBroken, match=what):
        write(value, Word)


def test_the_schema_is_in_json_schema() -> None:
    assert schema(list[Word])["items"] == {"$ref": "#/$defs/Word"}
    assert schema(Word)["properties"]["timesSeen"]["minimum"] == 1


class WithSecret(BaseModel):
    """Its secret would be written as asterisks."""

    key: SecretStr


class Callback(BaseModel):
    """It holds what no JSON can."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    call: object
    frame: memoryview


class Mixed(msgspec.Struct):
    """A struct with a model inside, which neither library can read."""

    word: Word


@pytest.mark.parametrize(
    ("contract", "why"),
    [
        (WithSecret, "asterisks for its secrets"),
        (Callback, "pydantic cannot read it"),
        (list[WithSecret], "asterisks for its secrets"),
        (Mixed, r"msgspec cannot read Word, at \$\.word"),
        (Word | Mixed, "pydantic cannot read it"),
    ],
)
def test_a_contract_that_would_lose_values_is_refused_where_it_is_written(contract: Any, why: str) -> None:
    with pytest.raises(ValueError, match=rf"stage 'a': its input is .*{why}"):
        Stage(name="a", queue="a", input=contract, output=None)


def test_pydantic_is_imported_for_its_own_contracts_alone() -> None:
    code = (
        "import sys; from mousetrap.pipeline import Stage, write;"
        "Stage(name='a', queue='a', input=dict[str, int], output=None); write({}, dict[str, int]);"
        "assert 'pydantic' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
