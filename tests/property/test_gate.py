"""What `--require` takes for a condition, and when one is met."""

import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayograph.errors import UserError
from rayograph.task.gate import Answer, Condition, answers, parse

NAMES = ["auroc", "auroc_low", "auroc_high", "loss", "f1", "p_holm"]
SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
conditions = st.builds(
    Condition,
    st.sampled_from(NAMES),
    st.sampled_from(list(SIGNS)),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.lists(conditions), st.sampled_from([" ", ", ", "\n  ", ","]))
def test_what_is_written_is_read_again(asked, between):
    assert list(parse(between.join(map(str, asked)), NAMES)) == asked


@given(conditions, st.floats(allow_nan=False))
def test_a_condition_is_met_as_its_sign_says(condition, value):
    assert condition.met(value) == SIGNS[condition.sign](value, condition.number)


@given(conditions)
def test_what_is_not_defined_misses(condition):
    assert not condition.met(None)
    assert not condition.met(math.nan)
    (answer,) = answers([condition], {}, "new")
    assert answer == Answer(condition, None, "new")
    assert str(answer) == f"new: {condition}, found undefined"


@given(st.text(max_size=40))
def test_any_words_are_conditions_or_a_mistake_of_one_line(words):
    mistake = None
    try:
        found = parse(words, NAMES)
    except UserError as error:
        mistake = str(error)
    if mistake is None:
        assert parse(" ".join(map(str, found)), NAMES) == found
    else:
        assert len(mistake.splitlines()) == 1


@pytest.mark.parametrize("text", ["auroc >= 0.9 loss<= .3", "  auroc>=9e-1,loss <=0.30"])
def test_spaces_and_forms_of_a_number(text):
    assert parse(text, NAMES) == (Condition("auroc", ">=", 0.9), Condition("loss", "<=", 0.3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("auroc_lo>=0.9", "auroc_lo: no such result; did you mean auroc_low?"),
        ("zzz>=0.9", "there are auroc, auroc_low"),
        ("auroc", "auroc is no condition"),
        ("auroc==0.9", "auroc==0.9 is no condition"),
        ("auroc>=0.9%", "auroc>=0.9% is no condition"),
        ("auroc>=0.9loss<=1", "is no condition"),
        ("auroc>=1.2.3", "1.2.3 is no number"),
        ("auroc>=1e999", "1e999 is no number"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(UserError, match="--require") as caught:
        parse(text, NAMES)
    assert message in str(caught.value)
