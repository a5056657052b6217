"""What the labels of a source mean."""

import pytest

from rayograph.errors import UserError
from rayograph.pack import labels


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["covid", "non"], ("non", "covid")),
        (["COVID", "non-COVID"], ("non-COVID", "COVID")),
        (["Effusion", "No_Effusion"], ("No_Effusion", "Effusion")),
        (["Infected", "Uninfected"], ("Uninfected", "Infected")),
        (["PNEUMONIA", "NORMAL"], ("NORMAL", "PNEUMONIA")),
        (["1", "0"], ("0", "1")),
        (["1.0", "0.0", "-1.0"], ("0.0", "-1.0", "1.0")),
        ([str(i) for i in range(12)], tuple(str(i) for i in range(12))),
        (["No Finding", "Nodule", "Mass"], ("No Finding", "Mass", "Nodule")),
        (["healthy", "unilateral", "bilateral"], ("healthy", "bilateral", "unilateral")),
        (["control", "case"], ("control", "case")),
        (["NonCovid", "Covid"], ("NonCovid", "Covid")),
        (["False", "True"], ("False", "True")),
        (["normal", "None of these"], ("normal", "None of these")),
    ],
)
def test_the_negative_class_is_the_one_whose_name_says_so(
    names: list[str], classes: tuple[str, ...]
) -> None:
    assert labels.ordered("x", names, None) == classes
    assert labels.ordered("x", names[::-1], None) == classes


@pytest.mark.parametrize(
    "names", [["a", "b"], ["normal", "healthy", "ill"], ["benign", "malignant"]]
)
def test_no_class_is_taken_for_the_negative_one_by_a_guess(names: list[str]) -> None:
    with pytest.raises(UserError, match=r"say which one is: pack\.negative=CLASS"):
        labels.ordered("x", names, None)
    assert labels.ordered("x", names, names[-1])[0] == names[-1]


def test_spellings_of_one_class_are_one_class_and_told() -> None:
    given = ["NORMAL", "NORMAL", "Normal", "Normal ", "no finding", "No_Finding", "1", "1.0"]
    found, findings = labels.spellings("x", given)
    assert len(set(found.values())) == 3
    assert found["Normal "] == "NORMAL", "the commonest"
    assert [finding.kind for finding in findings] == ["label_spelling"] * 3
    assert "'NORMAL', 'Normal', 'Normal ' are one class, NORMAL" in findings[0].message


def test_an_uncertain_code_is_told_and_joined_findings_are_refused() -> None:
    _, findings = labels.spellings("x", ["0.0", "1.0", "-1.0"])
    assert [finding.kind for finding in findings] == ["label_uncertain"]
    for joined in ("Infiltration|Effusion", "Mass;Nodule"):
        with pytest.raises(UserError, match="is several findings of one film"):
            labels.spellings("x", ["Mass", joined])


@pytest.mark.parametrize(
    "label", [None, "", " ", "NA", "n/a", "NaN", "nan", "NULL", "None", "#N/A", "?"]
)
def test_every_spelling_of_a_missing_label_is_missing(label: str | None) -> None:
    assert labels.is_missing(label)
    assert not labels.is_missing("normal")
