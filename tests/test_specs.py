"""Text of the form name(argument=value): parsing, types, and error messages."""

import dataclasses
import inspect
from collections.abc import Sequence

import pytest

from gan_zoo.util import specs
from gan_zoo.util.errors import UserError


@dataclasses.dataclass
class Thing:
    whole: int = 1
    real: float = 0.5
    switch: bool = False
    word: str = "a"
    perhaps: int | None = None
    many: Sequence[float] | None = (1.0, 2.0)
    anything = None


def thing(whole: int = 1, real=0.5, free=None, needed=inspect.Parameter.empty):
    """Has parameters with annotations, with defaults only, and with neither."""


FIELDS = inspect.signature(Thing).parameters
PARAMETERS = inspect.signature(thing).parameters


def read(text, parameters=FIELDS):
    name, assignments = specs.parse(text, "--flag")
    return name, specs.bind(assignments, parameters, name, "--flag")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("thing", {}),
        (" thing ( ) ", {}),
        ("thing(whole=2, real=3,)", {"whole": 2, "real": 3.0}),
        ("thing(real = 1e-3, switch=True)", {"real": 1e-3, "switch": True}),
        ("thing(word=until(turns=1, d_loss=2), whole=3)", {"word": "until(turns=1, d_loss=2)", "whole": 3}),
        (r"thing(word='a\', (b', many=[1, 2])", {"word": "a', (b", "many": [1, 2]}),
        ("thing(word=a=b, many=(1,), perhaps=None)", {"word": "a=b", "many": (1,), "perhaps": None}),
        ("thing(perhaps=-9223372036854775807, many=None)", {"perhaps": 1 - 2**63, "many": None}),
        ("thing(real=" + "1" + "0" * 30 + ")", {"real": 1e30}),
    ],
)
def test_what_is_read(text, values):
    assert read(text) == ("thing", values)
    assert read(text)[1].keys() == values.keys()
    assert all(type(a) is type(values[name]) for name, a in read(text)[1].items())
    assert read(specs.write("thing", values)) == ("thing", values)


def test_defaults_give_the_types_where_nothing_else_does():
    values = read("thing(free={4: 8}, needed='x', real=2)", PARAMETERS)[1]
    assert values == {"free": {4: 8}, "needed": "x", "real": 2.0}
    with pytest.raises(UserError, match=r"^--flag: real must be a number, not 'low'\.$"):
        read("thing(real=low)", PARAMETERS)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("thing(whole=1", "--flag has an unmatched bracket or quotation mark."),
        ("thing)whole=1(", "--flag has an unmatched bracket or quotation mark."),
        ("thing(word='a)", "--flag has an unmatched bracket or quotation mark."),
        ("thing(whole=1)+1", "--flag is not of the form name(argument=value, ...)."),
        ("thing, thing", "--flag is not of the form name(argument=value, ...)."),
        ("thing(1)", "--flag: '1' is not of the form name=value."),
        ("thing(hole=1)", "--flag: thing has no argument 'hole'. Did you mean 'whole'? It has whole, real, switch, "),
        ("thing(whole=1, whole=2)", "--flag: whole is given twice: give each argument once."),
        ("thing(whole=1.0)", "--flag: whole must be a whole number, not 1.0."),
        ("thing(whole=True)", "--flag: whole must be a whole number, not True."),
        ("thing(whole=9223372036854775808)", "--flag: whole must be a whole number of at most 63 bits, not 92233"),
        ("thing(perhaps=soon)", "--flag: perhaps must be a whole number or None, not 'soon'."),
        ("thing(real=__import__('os').system('x'))", '--flag: real must be a number, not "__import__('),
        ("thing(real=1e999)", "--flag: real must be a finite number, not inf."),
        ("thing(real=" + "9" * 400 + ")", "--flag: real must be a finite number, not inf."),
        ("thing(switch=1)", "--flag: switch must be True or False, not 1."),
        ("thing(many=5)", "--flag: many must be a list or None, not 5."),
    ],
)
def test_what_cannot_be_read(text, sentence):
    with pytest.raises(UserError) as caught:
        read(text)
    assert str(caught.value).startswith(sentence)
    assert len(str(caught.value)) < 200


def test_nothing_to_set():
    with pytest.raises(UserError, match=r"has no argument 'x'\. It has none\.$"):
        read("thing(x=1)", {})
