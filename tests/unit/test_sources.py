"""What a source names: how rows find films, and what patients, views, classes and lists say."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rayograph.config import PackConfig
from rayograph.data import index
from rayograph.data.recipe import ImageRecipe
from rayograph.errors import UserError
from rayograph.pack import views
from rayograph.pack.decode import UnusableError, decode
from rayograph.pack.sources import Source, open_source, particulars, unlabelled
from rayograph.task import ABSENT, MISSING, PRESENT, UNCERTAIN
from tests.conftest import packing


def opened(place: Path, *words: str) -> Source:
    return open_source(str(place), PackConfig.load(None, [f"pack.{word}" for word in words]).pack)


def told(source: Source) -> dict[str, str]:
    return {finding.kind: finding.message for finding in source.findings}


def said(source: Source) -> dict[str, str]:
    """The class of each film by its name."""
    return {i.sample_id: source.classes[i.labels.index(PRESENT)] for i in source.items}


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Four films in two folders, only listed here."""
    for name in ("a/1.png", "a/2.png", "b/3.dcm", "b/4.jpg"):
        (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / name).touch()
    return tmp_path / "films"


def table(films: Path, text: str) -> str:
    (films.parent / "t.csv").write_text(text)
    return f"table={films.parent / 't.csv'}"


ROWS = "path,label,who\na/1.png,ill,p\na/2.png,normal,q\nb/3.dcm,ill,r\n"
NAMED = ROWS.replace("a/", "").replace("b/3.dcm", "3") + "elsewhere.png,ill,s\n"


def test_a_table_beside_films_names_them_by_path(films: Path) -> None:
    source = opened(films, table(films, ROWS), "patient_column=who")
    assert said(source) == {"a/1.png": "ill", "a/2.png": "normal", "b/3.dcm": "ill"}
    assert source.items[0].uri == str(films / "a/1.png")
    with pytest.raises(UserError, match=r"pack\.table=.* is for films below a folder"):
        opened(films.parent / "t.csv", table(films, ROWS))


def test_rows_find_films_by_name_and_what_finds_none_is_counted(films: Path) -> None:
    source = opened(films, table(films, NAMED), "match=name", "patient_column=who")
    assert said(source) == {"a/1.png": "ill", "a/2.png": "normal", "b/3.dcm": "ill"}
    assert told(source) == {
        "rows_without_films": f"1 rows have no film below {films}, the first is elsewhere.png",
        "films_without_rows": "1 films are in no row of the table, the first is b/4.jpg",
    }
    root = opened(films.parent / "t.csv", "match=name", "patient_column=who", f"root={films}")
    assert said(root) == said(source)


def test_names_that_are_two_films_or_none_are_refused(films: Path) -> None:
    words = ("match=name", "patient_column=who")
    with pytest.raises(UserError, match=r"a row says x\.png, a film is a/1\.png"):
        opened(films, table(films, "path,label,who\nx.png,ill,p\n"), *words)
    (films / "b/1.png").touch()
    with pytest.raises(UserError, match=r"1\.png of row 1 is two films: a/1\.png and b/1\.png"):
        opened(films, table(films, NAMED), *words)
    with pytest.raises(UserError, match=r"pack\.match=name needs a table"):
        opened(films, "match=name")


def test_labels_are_worked_out_over_rows_that_have_a_film(films: Path) -> None:
    odd = NAMED + "no.png,,t\n"
    source = opened(films, table(films, odd), "match=name", "patient_column=who")
    assert source.classes == ("normal", "ill")
    nobody = NAMED.replace("3,ill,r", "3,ill,")
    with pytest.raises(UserError, match="1 rows have no who, the first is row 3"):
        opened(films, table(films, nobody), "match=name", "patient_column=who")
    columns = "path,mass,who\ngone.png,1,p\n1.png,1,q\n2.png,what,r\n"
    with pytest.raises(UserError, match="mass is 'what' in row 3"):
        opened(films, table(films, columns), "match=name", "patient_column=who",
               "task=multilabel", "label_columns=[mass]")  # fmt: skip


def test_rows_may_wait_for_what_headers_say(films: Path) -> None:
    (films / "b/IM000001").touch()
    (films / "b/1.2.840.7").touch()
    (films / "b/DICOMDIR").touch()
    text = "StudyInstanceUID,label,split,age\n1.2.3,ill,train,058Y\n1.2.4,normal,test,\n"
    source = opened(films, table(films, text), "match=StudyInstanceUID")
    names = [item.sample_id for item in source.items]
    assert names == ["a/1.png", "a/2.png", "b/1.2.840.7", "b/3.dcm", "b/4.jpg", "b/IM000001"]
    assert {(item.labels, item.patient_id) for item in source.items} == {((), None)}
    assert source.awaiting is not None
    assert source.awaiting.keyword == "StudyInstanceUID"
    rows = source.awaiting.rows
    assert {key: (row.labels, row.split) for key, row in rows.items()} == {
        "1.2.3": ((0, 1), "train"), "1.2.4": ((1, 0), "test"),
    }  # fmt: skip
    assert rows["1.2.3"].metadata == {"age": 58.0}


def test_files_of_archives_without_a_suffix_are_films_where_none_has_one(tmp_path: Path) -> None:
    for name in ("a/IM000001", "a/1.2.840.5", "b/I2", "b/README", "DICOMDIR"):
        (tmp_path / "t" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "t" / name).touch()
    source = opened(tmp_path / "t", "negative=a")
    assert [item.sample_id for item in source.items] == ["a/1.2.840.5", "a/IM000001", "b/I2"]
    assert {item.patient_id for item in source.items} == {None}
    assert source.ignored == {"README": 1, "DICOMDIR": 1}
    (tmp_path / "t/b/x.dcm").touch()
    (tmp_path / "t/a/y.dcm").touch()
    source = opened(tmp_path / "t", "negative=a")
    assert [item.sample_id for item in source.items] == ["a/y.dcm", "b/x.dcm"]
    assert source.ignored == {"README": 1, "DICOMDIR": 1, "no suffix": 2, ".5": 1}


# Several rows of a film


MANY = "path,who,x,y\n" + "".join(
    f"{path},{who},{x},{y}\n"
    for path, who, x, y in [
        ("1.png", "p", 1, 0), ("1.png", "p", 1, 1), ("1.png", "p", 0, ""),
        ("2.png", "q", 0, 0), ("2.png", "q", 1, 0), ("3", "r", 0, 0),
    ]
)  # fmt: skip
LABELS = ("match=name", "patient_column=who", "task=multilabel", "label_columns=[x,y]")


def test_several_rows_of_a_film_are_what_the_option_says(films: Path) -> None:
    place = table(films, MANY)
    with pytest.raises(UserError, match=r"a/1\.png appears in 3 rows"):
        opened(films, place, *LABELS)
    with pytest.raises(UserError, match=r"the 3 rows of a/1\.png say different labels"):
        opened(films, place, *LABELS, "several_rows=equal")
    most = opened(films, place, *LABELS, "several_rows=majority")
    assert [item.labels for item in most.items] == [
        (PRESENT, UNCERTAIN), (UNCERTAIN, ABSENT), (ABSENT, ABSENT),
    ]  # fmt: skip
    one = opened(films, place, *LABELS, "several_rows=any")
    assert [item.labels for item in one.items] == [(1, 1), (1, 0), (0, 0)]
    with pytest.raises(UserError, match=r"the rows of a/1\.png say different patients"):
        opened(films, table(films, MANY.replace("p,1,1", "s,1,1")), *LABELS, "several_rows=any")


def test_several_rows_of_one_class_a_film(films: Path) -> None:
    text = "path,label,who\n1.png,normal,p\n1.png,mass,p\n2.png,normal,q\n2.png,normal,q\n"
    words = (table(films, text), "match=name", "patient_column=who")
    with pytest.raises(UserError, match=r"pack\.several_rows=any: is of several labels"):
        opened(films, *words, "several_rows=any")
    with pytest.raises(UserError, match=r"pack\.several_rows=majority: is of several labels"):
        opened(films, *words, "several_rows=majority")
    ill = "classes={ill: [Mass], well: [normal]}"
    source = opened(films, *words, "several_rows=any", ill, "negative=well")
    assert said(source) == {"a/1.png": "ill", "a/2.png": "well"}


# Classes


def test_classes_join_spellings_and_leave_the_rest_out(films: Path) -> None:
    text = "path,label,who\n1.png,COVID-19,p\n2.png,normal,q\n3.dcm,covid19,r\n4.jpg,other,s\n"
    words = (table(films, text), "match=name", "patient_column=who")
    source = opened(films, *words, "classes={covid: [covid 19, covid19], normal: [Normal]}")
    assert said(source) == {"a/1.png": "covid", "a/2.png": "normal", "b/3.dcm": "covid"}
    left = "1 samples that are none of pack.classes are left out: other 1"
    assert told(source)["classes_left_out"] == left
    for classes, message in {
        "{covid: [covid-91], normal: [normal]}": "nothing is labelled covid-91; did you mean",
        "{covid: [other], normal: [other]}": "other is covid and normal; a spelling is of one",
        "{covid: [], normal: [normal]}": "covid has no spelling",
        "{covid: [other], Covid: [normal]}": "two classes differ in spelling only",
    }.items():
        with pytest.raises(UserError, match=message):
            opened(films, *words, f"classes={classes}")


def test_classes_join_folders_findings_and_columns(films: Path) -> None:
    source = opened(films, "classes={ill: [A], normal: [B]}")
    assert source.classes == ("normal", "ill")
    text = "path,label,who\n1.png,Mass|Edema,p\n2.png,No Finding,q\n3.dcm,nodule,r\n"
    words = ("match=name", "patient_column=who", "task=multilabel")
    found = opened(films, table(films, text), *words, "label_separator=|",
                   "classes={lesion: [Mass, Nodule], normal: [No Finding]}")  # fmt: skip
    assert found.classes == ("lesion", "normal")
    assert [item.labels for item in found.items] == [(1, 0), (0, 1), (1, 0)]
    left = "1 findings that are none of pack.classes are left out: Edema 1"
    assert told(found)["labels_left_out"] == left
    text = "path,who,Mass,Nodule,Edema\n1.png,p,0,1,1\n2.png,q,0,0,0\n3.dcm,r,0,,1\n4.jpg,s,0,-1,\n"
    found = opened(films, table(films, text), *words, "classes={lesion: [mass, nodule]}")
    states = [PRESENT, ABSENT, MISSING, UNCERTAIN]
    assert [item.labels for item in found.items] == [(state,) for state in states]
    assert [item.metadata["Edema"] for item in found.items] == [1, 0, 1, None]


# Patients, views, ages, sexes


def test_patients_are_read_off_paths_or_awaited_of_dicom_headers(films: Path) -> None:
    source = opened(films, "negative=a")
    assert [item.patient_id for item in source.items] == [None] * 4
    found = opened(films, table(films, ROWS), r"patient_pattern=/(\d)")
    assert [item.patient_id for item in found.items] == ["1", "2", "3"]
    with pytest.raises(UserError, match=r"a table names its patients.*; a/1\.png is no DICOM file"):
        opened(films, table(films, ROWS))
    with pytest.raises(UserError, match="give one; a film has one patient"):
        opened(films, table(films, ROWS), r"patient_pattern=(\d)", "patient_column=who")
    (films / "b/5").touch()
    text = "path,label\nb/3.dcm,ill\nb/5,normal\n"
    found = opened(films, table(films, text))
    assert [item.patient_id for item in found.items] == [None, None]
    assert "patients_unknown" not in told(found)


def test_views_ages_and_sexes_are_kept_under_their_names(films: Path) -> None:
    text = ROWS.replace("who\n", "who,View Position,age,Gender,view\n")
    for old, new in (("p\n", "p,PA,058Y,male,1\n"), ("q\n", "q,ll,6 years,F,2\n"),
                     ("r\n", "r,,999,x,3\n")):  # fmt: skip
        text = text.replace(old, new)
    words = (table(films, text), "patient_column=who", "view_column=View Position",
             "sex_column=Gender")  # fmt: skip
    source = opened(films, *words)
    ours = [[item.metadata[key] for key in ("view", "age", "sex")] for item in source.items]
    assert ours == [["PA", 58.0, "M"], ["ll", None, "F"], [None, None, None]]
    written = ("source_view", "source_age", "source_sex")
    kept = [[item.metadata[key] for key in written] for item in source.items]
    assert kept == [[1, "058Y", "male"], [2, "6 years", "F"], [3, "999", "x"]]
    assert told(source)["no_age"] == "2 values of age are no age, the first in row 2"
    assert told(source)["no_sex"] == "1 values of Gender are no sex, the first in row 3"
    few = opened(films, *words, "views=[pa, AP]", "negative=ill", "split=test")
    assert [item.sample_id for item in few.items] == ["a/1.png", "b/3.dcm"]
    message = "1 films of other views than pack.views are left out: ll 1"
    assert told(few)["views_left_out"] == message
    with pytest.raises(UserError, match="no column Position; it has"):
        opened(films, *words[:2], "view_column=Position")


@pytest.mark.parametrize(
    ("text", "years"),
    [("058Y", 58), ("58", 58), ("58.5", 58.5), ("018M", 1.5), ("007D", 0.02), ("411", None),
     ("old", None), ("1e2", None)],
)  # fmt: skip
def test_an_age_is_years_or_of_dicoms_form(text: str, years: float | None) -> None:
    assert particulars.age(text) == years


@pytest.mark.parametrize(
    ("view", "kept", "wanted"),
    [("PA", ["pa"], True), ("Lateral", ["LL"], True), ("AP", ["PA"], False),
     ("frontal", ["AP"], True), ("PA", ["Frontal"], True), ("LAT", ["PA", "AP"], False),
     (None, ["PA"], True), ("LL", [], True), ("AP AXIAL", ["AP"], False)],
)  # fmt: skip
def test_which_views_are_kept(view: str | None, kept: list[str], wanted: bool) -> None:
    assert views.wanted(view, kept) is wanted


# Splits


def test_a_list_says_which_films_are_for_testing(films: Path) -> None:
    place = films.parent / "test_list.txt"
    place.write_text("2.png\r\n\nb/3.dcm\nnone.png\n")
    words = (f"test_list={place}", "negative=a")
    source = opened(films, *words)
    assert [item.split for item in source.items] == ["train", "test", "test", "train"]
    message = "1 lines of pack.test_list name no film, the first is none.png"
    assert told(source)["test_list_unmatched"] == message
    place.write_text("none.png\n")
    with pytest.raises(UserError, match=r"names none of the films; it says none\.png, a film is"):
        opened(films, *words)
    place.write_text("1.png\n")
    (films / "b/1.png").touch()
    with pytest.raises(UserError, match=r"1\.png is two films: a/1\.png and b/1\.png"):
        opened(films, *words)


# Arrays


def medmnist(colour: bool = False, labels: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    draw = np.random.default_rng(0)
    found = {}
    for part, n in (("train", 12), ("val", 4), ("test", 4)):
        shape = (n, 24, 28, 3) if colour else (n, 24, 28)
        found[f"{part}_images"] = draw.integers(0, 256, shape).astype(np.uint8)
        states = np.arange(n * labels).reshape(n, labels) // labels % 2
        found[f"{part}_labels"] = states.astype(np.uint8)
    return found


@pytest.mark.parametrize("colour", [False, True])
def test_arrays_of_medmnist_are_packed_as_the_same_pictures_are(
    colour: bool, tmp_path: Path
) -> None:
    arrays = medmnist(colour)
    np.savez_compressed(tmp_path / "m.npz", **arrays)
    options = PackConfig.load(None, ["pack.size=32"]).pack
    found = packing(tmp_path / "m.npz", tmp_path / "d", options)
    assert {name: part.rows for name, part in found.manifest.parts.items()} == {
        "train": 12, "val": 4, "test": 4,
    }  # fmt: skip
    assert found.manifest.classes == ("0", "1")
    assert set(index.read(found, "val").column("sample_id").to_pylist()) == {
        f"val/{i:05}" for i in range(4)
    }
    source = open_source(str(tmp_path / "m.npz"), options)
    assert "patients_unknown" in told(source)
    out = io.BytesIO()
    Image.fromarray(arrays["val_images"][1]).save(out, "PNG")
    own = next(item for item in source.items if item.sample_id == "val/00001")
    film = decode(own.read(), source.recipe).values
    assert (film == decode(out.getvalue(), source.recipe).values).all()
    recipe = ImageRecipe(size=32, resize="crop")
    assert len(unlabelled(str(tmp_path / "m.npz"), recipe, options)) == 20


def test_arrays_of_16_bits_and_of_several_labels(tmp_path: Path) -> None:
    arrays = medmnist(labels=3)
    deep = {k: v.astype(">u2") * 257 if "images" in k else v for k, v in arrays.items()}
    np.savez(tmp_path / "deep.npz", **deep)
    source = opened(tmp_path / "deep.npz", "size=32")
    assert (source.task, source.classes) == ("multilabel", ("label-0", "label-1", "label-2"))
    np.savez(tmp_path / "m.npz", **arrays)
    named = opened(tmp_path / "m.npz", "size=32", "label_columns=[a,b,c]")
    assert named.classes == ("a", "b", "c")
    one, two = (decode(s.items[3].read(), s.recipe).values for s in (source, named))
    assert np.abs(one.astype(int) - two).max() <= 1
    with pytest.raises(UserError, match=r"several labels a sample are pack\.task=multilabel"):
        opened(tmp_path / "m.npz", "task=multiclass")


def _object(arrays: dict[str, Any], place: Path) -> None:
    np.savez(place, **arrays | {"train_images": np.array([Path, None])})


def _lies(arrays: dict[str, Any], place: Path) -> None:
    np.savez(place, **arrays)
    out = io.BytesIO()
    with zipfile.ZipFile(place) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name).replace(b"(12, 24, 28)", b"(99, 24, 28)")
            new.writestr(name, data)
    place.write_bytes(out.getvalue())


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda a, p: np.savez(p, x_train=a["train_images"]), "its arrays are x_train"),
        (lambda _, p: p.write_bytes(b"PK\3\4 nothing"), "not a readable .npz"),
        (lambda a, p: p.write_bytes(pickle.dumps(a)), "not a readable .npz"),
        (lambda a, p: np.savez(p, train_images=a["train_images"]), "no train_labels beside"),
        (lambda a, p: np.savez(p, **a | {"val_labels": a["train_labels"]}), r"uint8 \[12, 1\]"),
        (lambda a, p: np.savez(p, **a | {"val_images": np.ones((4, 5))}), r"float64 \[4, 5\]"),
        (_object, "train_images is not the array that it says it is"),
        (_lies, "train_images is not the array that it says it is"),
    ],
)
def test_an_npz_that_is_none_of_ours_is_refused(
    write: Callable[[dict[str, Any], Path], object], message: str, tmp_path: Path
) -> None:
    write(medmnist(), tmp_path / "m.npz")
    with pytest.raises(UserError, match=message):
        opened(tmp_path / "m.npz")


def test_an_npz_that_memory_does_not_hold_is_refused_before_it_is_read(tmp_path: Path) -> None:
    arrays = medmnist()
    head = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1024, 1024)}
    np.lib.format.write_array_header_1_0(head, shape)
    np.savez(tmp_path / "m.npz", **arrays | {"train_images": np.zeros(0, np.uint8)})
    source = (tmp_path / "m.npz").read_bytes()
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as old, zipfile.ZipFile(out, "w") as new:
        for name in set(old.namelist()) - {"train_labels.npy"}:
            new.writestr(name, head.getvalue() if name == "train_images.npy" else old.read(name))
        entry = new.getinfo("train_images.npy")
        entry.file_size = 10**6 * 1024**2 + len(head.getvalue())
        labels = io.BytesIO()
        np.lib.format.write_array(labels, np.zeros(10**6, np.uint8))
        new.writestr("train_labels.npy", labels.getvalue())
    (tmp_path / "m.npz").write_bytes(out.getvalue())
    with pytest.raises(UserError, match=r"takes 2,\d{3},\d{3},\d{3},\d{3} bytes, more"):
        opened(tmp_path / "m.npz")


def test_bytes_that_only_begin_as_an_npy_are_a_reason() -> None:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        out, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6)}
    )
    for data in (out.getvalue(), b"\x93NUMPY\x01\x00", b"\x93NUMPY\x09\x00\xff\xff\xff\xff{"):
        with pytest.raises(UnusableError, match="not a picture: "):
            decode(data, ImageRecipe(size=32, resize="crop"))
