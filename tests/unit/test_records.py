"""Health records as tables, several labels, folds: what is packed, and what is refused."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from rayograph.config import DataOptions, EvaluateOptions, PackOptions, RunConfig
from rayograph.data import index, stream, transforms
from rayograph.data.dataset import Dataset
from rayograph.data.recipe import TableTransform
from rayograph.errors import UserError
from rayograph.evaluate import evaluation
from rayograph.evaluate.predict.parts import predict
from rayograph.evaluate.predict.rows import counts as counted
from rayograph.models.build import build, check_weights
from rayograph.pack import phantom_records
from rayograph.pack.mapper import one_by_one
from rayograph.pack.sources import open_source, unlabelled
from rayograph.train import local
from rayograph.train.checks import check_run
from rayograph.train.stops import deaf
from tests.conftest import SHARED, needs_real_films, packing

TABLE = PackOptions(inputs="table")


def table(place: Path, head: str, rows: Sequence[str]) -> Path:
    place.write_text("\n".join([head, *rows]))
    return place


def patients(tmp_path: Path) -> Path:
    """40 rows: a number with gaps, a category, a constant, and who is ill."""
    rows = [
        f"{i},{'' if i % 8 == 0 else 20 + i},{'abc'[i % 3]},1,{'ill' if i > 19 else 'healthy'}"
        for i in range(40)
    ]
    return table(tmp_path / "t.csv", "id,age,site,version,state", rows)


def test_columns_become_what_the_model_sees(tmp_path: Path) -> None:
    options = TABLE.model_copy(update={"id_column": "id"})
    data = packing(patients(tmp_path), tmp_path / "d", options)
    age, site, version = data.manifest.recipe.columns
    assert (age.name, age.categories, age.missing) == ("age", None, True)
    assert (site.name, site.categories, site.missing) == ("site", ("a", "b", "c"), False)
    assert version.name == "version"
    assert [f.kind for f in data.manifest.findings] == ["constant_column", "patients_unknown"]

    spec = data.transform(DataOptions(), EvaluateOptions())
    assert isinstance(spec, TableTransform)
    assert spec.shape == (6,), "age, version, three sites, whether the age is missing"
    known = [float(v) for v in index.read(data, "train").column("age").to_pylist() if v is not None]
    assert spec.features[0].mean == pytest.approx(np.mean(known))
    assert spec.features[0].std == pytest.approx(np.std(known))
    transform = transforms.build(spec)
    unseen, missing = 3.0, float("nan")
    rows = torch.tensor([[np.mean(known), 1, 1], [missing, unseen, 1]], dtype=torch.float32)
    expected = [[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1]]
    (seen,) = transform.views(rows)
    assert torch.allclose(seen, torch.tensor(expected).float(), atol=1e-6)
    assert sorted(index.read(data, "train").column("sample_id").to_pylist())[0].isdigit()


def test_new_records_are_predicted_by_the_models_own_recipe(tmp_path: Path) -> None:
    source = patients(tmp_path)
    data = packing(source, tmp_path / "d", TABLE.model_copy(update={"exclude": ("id",)}))
    words = [f"data.uri={data.uri}", f"run.storage={tmp_path}/r", "train.epochs=1"]
    run = local.run(RunConfig.load("records", words), lambda _row: None, deaf)
    fresh = table(tmp_path / "new.csv", "site,age,version", ["a,30,1", "zz,,1", "b,old,1"])
    recipe = data.manifest.recipe
    rows = unlabelled(str(fresh), recipe, PackOptions())
    found = predict(run.best_model, rows, one_by_one)
    assert found.column("error").to_pylist() == [None, None, "age: 'old' is not a number"]
    assert found.column("unknown_categories").to_pylist() == [0, 1, None]
    counts = counted(found)
    assert (counts["unknown categories"], counts["unreadable"]) == (1, 1)
    with pytest.raises(UserError, match="no column version"):
        unlabelled(str(table(tmp_path / "few.csv", "site,age", ["a,1"])), recipe, PackOptions())


def test_a_model_of_records_starts_from_other_weights(tmp_path: Path) -> None:
    options = RunConfig.load("records").model
    torch.manual_seed(0)
    other = build(options, (5,), 3)
    torch.save(other.state_dict(), tmp_path / "w.pth")
    given = options.model_copy(update={"weights": str(tmp_path / "w.pth")})
    assert "classifier" in str(check_weights(given, (5,), 2)), "a head of other outputs is told"
    taken = build(given, (5,), 2)
    assert torch.equal(taken.features[0].weight, other.features[0].weight)
    with pytest.raises(UserError, match=r"features\.0\.weight"):
        build(given, (6,), 2)


def numbers(count: int, text: str = "") -> list[str]:
    """Rows of a number, an id and a class; the last row's number is `text` if given."""
    rows = [f"{i}.5,r{i},{'ill' if i % 2 else 'healthy'}" for i in range(count)]
    return [*rows[:-1], f"{text},r{count - 1},ill"] if text else rows


HEAD = "value,name,state"
BAD: dict[str, tuple[str, list[str], dict[str, Any], str]] = {
    "no such label column": (HEAD, numbers(8), {"label_columns": ("nope",)}, "no column nope"),
    "a label is missing": (HEAD, [*numbers(8), "1,r9,"], {}, "1 rows have no state"),
    "one value": (HEAD, ["1,r1,ill", "2,r2,ill"], {}, "only the class ill"),
    "a measurement": ("value,bmi", ["1,22", "2,1.5"], {}, "label 1.5 is a measurement"),
    "text among numbers": (HEAD, numbers(8, "high"), {}, "value is 'high' in row 8, among numbers"),
    "infinite": (HEAD, numbers(8, "inf"), {}, "value is 'inf' in row 8"),
    "an id twice": (
        HEAD, ["1,a,ill", "2,a,healthy"], {"id_column": "name"}, "name 'a' appears in 2 rows",
    ),
    "too many texts": (
        HEAD, numbers(1200), {}, "name has 1,200 different texts.*pack.exclude=\\[name\\]",
    ),
    "nothing left": ("state", ["ill", "healthy"], {}, "no column is left"),
    "an unknown word": (
        "value,a", ["1,1", "2,perhaps"], {"task": "multilabel", "label_columns": ("a",)},
        "a is 'perhaps' in row 2; a label is one of pack.present",
    ),
    "known in no row": (
        "value,a", ["1,", "2,-1"], {"task": "multilabel", "label_columns": ("a",)},
        "a is known in no row",
    ),
    "no such category": (
        HEAD, numbers(8), {"categorical": ("nope",)}, "pack.categorical: no column nope",
    ),
    "a mistyped label": (
        HEAD, numbers(8), {"label_column": "stat"}, "no column stat; did you mean state",
    ),
    "a label left out": (
        HEAD, numbers(8), {"label_column": "state", "exclude": ("state",)}, "no column state",
    ),
    "a mistyped column": (HEAD, numbers(8), {"exclude": ("Name",)}, "pack.exclude: no column Name"),
    "an empty id": (
        HEAD, ["1,,ill", "2,b,healthy"], {"id_column": "name"}, "name of row 1 is empty",
    ),
    "decimal commas": (
        "value;state", ["1,5;ill", "2,25;healthy"], {}, "value has decimal commas, such as 1,5",
    ),
    "not as people write numbers": (HEAD, numbers(8, "1_003"), {}, "'1_003' in row 8"),
    "a label to leave out that is none": (
        "value,a", ["1,1", "2,0"],
        {"task": "multilabel", "label_columns": ("a",), "drop_labels": ("b",)}, "no label b",
    ),
    "columns and a separator": (
        "value,a,b", ["1,1,1", "2,0,0"],
        {"task": "multilabel", "label_columns": ("a", "b"), "label_separator": "|"},
        "pack.label_separator is of one column",
    ),
    "labels of one name": (
        "value,a,A", ["1,1,1", "2,0,0"], {"task": "multilabel", "label_columns": ("a", "A")},
        "differ in spelling only",
    ),
    "too many classes": (
        "value,days", [f"{i},{i}" for i in range(1100)], {"negative": "0"}, "1,100 classes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    head, rows, options, message = BAD[name]
    place = table(tmp_path / "bad.csv", head, rows)
    with pytest.raises(UserError, match=message) as refused:
        open_source(str(place), TABLE.model_copy(update=options))
    assert "\n" not in str(refused.value)
    assert str(place) in str(refused.value)


def test_a_class_or_label_that_training_lacks_is_refused(tmp_path: Path) -> None:
    rows = [f"{i},{'healthy' if i % 2 else 'ill'},train" for i in range(20)] + ["1,rare,test"]
    place = table(tmp_path / "t.csv", "value,state,split", rows)
    with pytest.raises(UserError, match=r"rare never occurs in training.*leave it out"):
        packing(place, tmp_path / "d", TABLE.model_copy(update={"label_columns": ("state",)}))
    labels = [f"{i},{i % 2},0,train" for i in range(20)] + ["1,1,1,test"]
    place = table(tmp_path / "l.csv", "value,often,never,split", labels)
    options = TABLE.model_copy(update={"task": "multilabel", "label_columns": ("often", "never")})
    with pytest.raises(UserError, match=r"never never occurs in training.*drop_labels=\[never\]"):
        packing(place, tmp_path / "d", options)
    options = options.model_copy(update={"drop_labels": ("never",)})
    assert packing(place, tmp_path / "d", options).manifest.classes == ("often",)


def test_equal_rows_of_different_people_are_no_copies_and_order_does_not_matter(
    tmp_path: Path,
) -> None:
    people = [(f"p{i}", "mf"[i % 2], "yn"[i % 3 == 0], "ill" if i % 4 else "ok") for i in range(80)]
    rows = [",".join(person) for person in people for _ in range(2)]
    options = TABLE.model_copy(update={"patient_column": "person", "negative": "ok"})
    head = "person,sex,smoker,state"
    found = []
    for name, order in (("a", rows), ("b", rows[::-1])):
        data = packing(table(tmp_path / f"{name}.csv", head, order), tmp_path / name, options)
        found.append(set(index.read(data, "test").column("patient_id").to_pylist()))
    assert found[0] == found[1]
    assert 8 <= len(found[0]) <= 16
    assert not data.manifest.findings


def test_a_table_of_elsewhere_is_packed_as_a_dataset_says_and_judged_by_its_models(
    tmp_path: Path,
) -> None:
    options = TABLE.model_copy(update={"exclude": ("id",)})
    data = packing(patients(tmp_path), tmp_path / "d", options)
    words = [f"data.uri={data.uri}", f"run.storage={tmp_path}/r", "train.epochs=1"]
    run = local.run(RunConfig.load("records", words), lambda _row: None, deaf)
    place = table(tmp_path / "o.csv", "site,version,age,state", ["a,1,50,ill", "zz,2,,healthy"])
    other = PackOptions(inputs="table", split="test", like=data.uri)
    packing(place, tmp_path / "o", other)
    assert evaluation.evaluate(run.best_model, str(tmp_path / "o"), "test").films == 2


def test_findings_of_elsewhere_are_the_labels_of_a_dataset(tmp_path: Path) -> None:
    head, joined = "value,findings", {"task": "multilabel", "label_column": "findings"}
    rows = [f"{i},{('A|B', 'b', 'C', 'No Finding')[i % 4]}" for i in range(40)]
    options = TABLE.model_copy(update={**joined, "label_separator": "|"})
    data = packing(table(tmp_path / "t.csv", head, rows), tmp_path / "d", options)
    assert data.manifest.classes == ("A", "B", "C")
    assert "label_spelling" in {finding.kind for finding in data.manifest.findings}
    place = table(tmp_path / "o.csv", head, ["1,a|D", "2,"])
    other = options.model_copy(update={"split": "test", "like": data.uri})
    found = open_source(str(place), other)
    assert found.classes == ("A", "B", "C")
    assert [item.labels for item in found.items] == [(1, 0, 0), (0, 0, 0)]
    assert [finding.kind for finding in found.findings][-1] == "labels_left_out"


def test_unusable_records_do_not_spoil_the_others(tmp_path: Path) -> None:
    data = packing(
        patients(tmp_path), tmp_path / "d", TABLE.model_copy(update={"exclude": ("id",)})
    )
    words = [f"data.uri={data.uri}", f"run.storage={tmp_path}/r", "train.epochs=1"]
    run = local.run(RunConfig.load("records", words), lambda _row: None, deaf)
    rows = ["a,old,1"] * 64 + ["a,30,1"]
    place = table(tmp_path / "new.csv", "site,age,version", rows)
    found = unlabelled(str(place), data.manifest.recipe, PackOptions())
    predicted = predict(run.best_model, found, one_by_one)
    assert counted(predicted)["unreadable"] == 64


def test_a_fold_without_a_label_in_training_is_refused(tmp_path: Path) -> None:
    rows = [f"p{i},{i},{i % 2},{int(i == 3)}" for i in range(40)]
    options = TABLE.model_copy(
        update={
            "task": "multilabel", "label_columns": ("often", "once"), "folds": 2,
            "patient_column": "person",
        }
    )  # fmt: skip
    data = packing(
        table(tmp_path / "t.csv", "person,value,often,once", rows), tmp_path / "d", options
    )
    told = []
    for fold in range(2):
        try:
            check_run(RunConfig.load("records", [f"data.fold={fold}"]), data)
        except UserError as error:
            told.append(str(error))
    assert len(told) == 1
    assert "once never occurs in training with data.fold=" in told[0]


def test_quotes_in_the_head_of_a_table_hide_what_is_in_them(tmp_path: Path) -> None:
    head = '"CRP, mg/l, serum";"blood\npressure";state'
    rows = [f"{i};{100 + i};{'ill' if i % 2 else 'ok'}" for i in range(8)]
    found = open_source(
        str(table(tmp_path / "t.csv", head, rows)), TABLE.model_copy(update={"negative": "ok"})
    )
    assert [column.name for column in found.recipe.columns] == [
        "CRP, mg/l, serum",
        "blood\npressure",
    ]


def test_a_column_that_says_the_label_is_a_finding(tmp_path: Path) -> None:
    rows = [f"{i},{'yx'[i % 2]},{'ill' if i % 2 else 'healthy'}" for i in range(40)]
    place = table(tmp_path / "t.csv", "value,discharge_code,state", rows)
    found = open_source(str(place), TABLE).findings
    assert ("column_equals_label", True) in [(f.kind, "discharge_code" in f.message) for f in found]


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Records of 100 people in five folds."""
    folder = tmp_path_factory.mktemp("folds")
    phantom_records.write(folder / "t.csv", 100, seed=1)
    options = PackOptions(
        inputs="table", patient_column="person", negative="rest", exclude=("strenuous",), folds=5
    )
    return packing(folder / "t.csv", folder / "d", options)


def test_folds_take_turns_and_no_person_is_in_two(folds: Dataset) -> None:
    every = set(folds.manifest.parts)
    assert every == {"test", *(f"fold-{i}" for i in range(5))}
    for fold in range(5):
        data = folds.at_fold(fold)
        assert data.splits["val"] == (f"fold-{fold}",)
        people = [set(index.read(data, s).column("patient_id").to_pylist()) for s in data.splits]
        assert sum(map(len, people)) == len(set.union(*people)) == 100
        assert sum(len(b.rows) for b in stream.stored(data, "train")) == data.split("train").rows
    shares = [folds.at_fold(i).split("val").labels["rest"].prevalence for i in range(5)]
    assert max(shares) - min(shares) < 0.08, "stratified"


def test_a_fold_is_named_where_it_must_be(folds: Dataset) -> None:
    with pytest.raises(UserError, match=r"data\.fold=0 to 4"):
        folds.split("train")
    with pytest.raises(UserError, match=r"data\.fold=7: .* no such fold; its folds are 0 to 4"):
        folds.at_fold(7)


@needs_real_films
def test_columns_of_labels_and_joined_findings_say_the_same(tmp_path: Path) -> None:
    place = str(SHARED / "nih14" / "manifest.csv")
    options = PackOptions(task="multilabel", patient_column="patient_id")
    joined = open_source(
        place, options.model_copy(update={"label_column": "finding", "label_separator": "|"})
    )
    columns = open_source(place, options.model_copy(update={"label_columns": joined.classes}))
    assert joined.classes == columns.classes
    assert len(joined.classes) == 14
    assert [item.labels for item in joined.items] == [item.labels for item in columns.items]


def test_breast_cancer_is_told_apart(tmp_path: Path) -> None:
    found = load_breast_cancer()
    rows = range(len(found.target))
    test = set(train_test_split(rows, test_size=0.2, random_state=1, stratify=found.target)[1])
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*found.feature_names, "split", "diagnosis"])
        for i, (values, target) in enumerate(zip(found.data, found.target, strict=True)):
            part = "test" if i in test else "train"
            writer.writerow([*values, part, ("malignant", "benign")[target]])
    packing(tmp_path / "t.csv", tmp_path / "d", TABLE.model_copy(update={"negative": "benign"}))
    words = [f"data.uri={tmp_path}/d", f"run.storage={tmp_path}/runs"]
    run = local.run(RunConfig.load("records", words), lambda _row: None, deaf)
    judged = evaluation.evaluate(run.best_model, None, "test")
    assert judged.films == 114
    assert judged.metrics["accuracy"].value > 0.93  # 0.974 was seen
