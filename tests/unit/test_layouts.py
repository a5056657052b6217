"""Published layouts: each on a small table in the published format, and a layout of one's own."""

import gzip
from pathlib import Path

import pytest

from rayograph.config import PackConfig
from rayograph.errors import UserError
from rayograph.pack.sources import Source, open_source
from rayograph.pack.sources.layouts import SHIPPED
from rayograph.task import ABSENT, MISSING, PRESENT, UNCERTAIN
from tests.conftest import SHARED, needs_real_films, packing

NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
CHEXPERT = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,"
    "Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,"
    "Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
MIMIC = (
    "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,"
    "Fracture,Lung Lesion,Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,"
    "Pneumothorax,Support Devices"
)
VINDR = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,"
    "Edema,Emphysema,Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,"
    "Mediastinal shift,Nodule/Mass,Pleural effusion,Pleural thickening,Pneumothorax,"
    "Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,Tuberculosis,"
)


def opened(place: Path, *words: str) -> Source:
    return open_source(str(place), PackConfig.load(None, [f"pack.{word}" for word in words]).pack)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(source: Source) -> list[tuple[str, str | None, str | None]]:
    """Each item's place below the source's folder, its patient, and its split."""
    return [(item.sample_id, item.patient_id, item.split) for item in source.items]


@pytest.mark.parametrize(
    ("name", "end", "ages"),
    [
        ("Data_Entry_2017_v2020.csv", "", ("57", "58")),
        ("Data_Entry_2017.csv", ",", ("057Y", "058Y")),
        ("sample_labels.csv", "", ("057Y", "058Y")),
    ],
)
def test_nih14(name: str, end: str, ages: tuple[str, str], tmp_path: Path) -> None:
    films = ["images_001/images/00000001_000.png", "images_002/images/00000002_000.png"]
    touch(tmp_path, *films)
    rows = [
        f"00000001_000.png,Cardiomegaly|Hernia,0,1,{ages[0]},M,PA,2682,2749,0.143,0.143",
        f"00000002_000.png,No Finding,0,2,{ages[1]},F,AP,2500,2048,0.168,0.168",
        "00000003_000.png,Mass,0,3,081Y,F,PA,2582,2991,0.143,0.143",
    ]
    lines = "".join(f"{line}{end}\n" for line in [NIH, *rows])
    (tmp_path / name).write_text(lines)
    source = opened(tmp_path, "layout=nih14")
    assert found(source) == [(films[0], "1", None), (films[1], "2", None)]
    assert source.classes == ("Cardiomegaly", "Hernia")
    assert [item.labels for item in source.items] == [(1, 1), (0, 0)]
    said = source.items[0].metadata
    assert (said["view"], said["age"], said["sex"]) == ("PA", 57.0, "M")
    assert (said["Follow-up #"], said["Height]"], "" in said) == (0, 2749, False)
    (tmp_path / "test_list.txt").write_text("00000002_000.png\n00000003_000.png\n")
    assert [item.split for item in opened(tmp_path, "layout=nih14").items] == ["train", "test"]


@needs_real_films
def test_nih14_of_real_films(tmp_path: Path) -> None:
    options = PackConfig.load(None, ["pack.layout=nih14", "pack.size=32"]).pack
    source = open_source(str(SHARED / "nih14"), options)
    assert (len(source.items), len(source.classes)) == (140, 14)
    ages = [item.metadata["age"] for item in source.items]
    assert {type(age) for age in ages} == {float}
    data = packing(SHARED / "nih14", tmp_path / "d", options)
    assert sum(part.rows for part in data.manifest.parts.values()) == 140
    assert data.manifest.task == "multilabel"


def test_chexpert(tmp_path: Path) -> None:
    folder = "CheXpert-v1.0-small"
    train = [
        f"{folder}/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,,,,,,,,"
        "0.0,,,,1.0",
        f"{folder}/train/patient00002/study2/view2_lateral.jpg,Male,87,Lateral,,,,-1.0,1.0,,-1.0,"
        "-1.0,,-1.0,,-1.0,,1.0,",
    ]
    zeros = ",".join(["0.0"] * 13)
    valid = [
        f"{folder}/valid/patient64541/study1/view1_frontal.jpg,Unknown,73,Frontal,PA,1.0,{zeros}"
    ]
    for name, rows in (("train", train), ("valid", valid)):
        (tmp_path / f"{name}.csv").write_text("\n".join([CHEXPERT, *rows]) + "\n")
    source = opened(tmp_path, "layout=chexpert")
    assert found(source) == [
        ("train/patient00001/study1/view1_frontal.jpg", "patient00001", "train"),
        ("train/patient00002/study2/view2_lateral.jpg", "patient00002", "train"),
        ("valid/patient64541/study1/view1_frontal.jpg", "patient64541", "val"),
    ]
    assert source.items[0].uri == str(tmp_path / source.items[0].sample_id)
    assert len(source.classes) == 14
    states = dict(zip(source.classes, source.items[1].labels, strict=True))
    assert [states[n] for n in ("No Finding", "Cardiomegaly", "Lung Opacity", "Edema")] == [
        MISSING, UNCERTAIN, PRESENT, UNCERTAIN,
    ]  # fmt: skip
    assert source.items[2].labels[1] == ABSENT
    assert [item.metadata["view"] for item in source.items] == ["AP", "Lateral", "PA"]
    assert [item.metadata["sex"] for item in source.items] == ["F", "M", None]
    only = "label_columns=[No Finding,Atelectasis]"
    frontal = opened(tmp_path, "layout=chexpert", "views=[PA,AP]", only)
    assert frontal.classes == ("No Finding", "Atelectasis")
    assert [item.metadata["view"] for item in frontal.items] == ["AP", "PA"]


@pytest.mark.parametrize("gz", [False, True])
def test_mimic_cxr_jpg(gz: bool, tmp_path: Path) -> None:
    ids = [("02aa804e-bde0afdd", "50414267", "10000032"), ("174413ec-4ec4c1f7", "50414267",
           "10000032"), ("2a2277a9-b0ded155", "53189527", "10000764")]  # fmt: skip
    splits = zip(ids, ("train", "validate", "test"), strict=True)
    tables = {
        "split": ["dicom_id,study_id,subject_id,split",
                  *(",".join((*names, part)) for names, part in splits)],
        "chexpert": [MIMIC, "10000764,53189527,1.0,-1.0,0.0,,,,,,,,,,,",
                     "10000032,50414267,,0.0,,,,,,,1.0,0.0,1.0,1.0,1.0,0.0"],
        "metadata": ["dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,"
                     "Rows,Columns,StudyDate,StudyTime,ViewCodeSequence_CodeMeaning",
                     *(f"{d},{p},{s},CHEST (PA AND LAT),{v},3056,2544,21800506,213014.5,x"
                       for (d, s, p), v in zip(ids, ("PA", "LATERAL", "AP"), strict=True))],
    }  # fmt: skip
    for name, lines in tables.items():
        data = ("\n".join(lines) + "\n").encode()
        place = tmp_path / f"mimic-cxr-2.0.0-{name}.csv{'.gz' if gz else ''}"
        place.write_bytes(gzip.compress(data) if gz else data)
    dropped = ["Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion", "Lung Opacity"]
    source = opened(tmp_path, "layout=mimic-cxr-jpg", f"drop_labels=[{','.join(dropped)}]")
    assert found(source) == [
        ("files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg", "10000032", "train"),
        ("files/p10/p10000032/s50414267/174413ec-4ec4c1f7.jpg", "10000032", "val"),
        ("files/p10/p10000764/s53189527/2a2277a9-b0ded155.jpg", "10000764", "test"),
    ]
    one, two, other = (dict(zip(source.classes, item.labels, strict=True)) for item in source.items)
    assert one == two
    assert (one["No Finding"], one["Atelectasis"], one["Cardiomegaly"]) == (1, MISSING, ABSENT)
    assert (other["Atelectasis"], other["Cardiomegaly"]) == (PRESENT, UNCERTAIN)
    said = source.items[1].metadata
    assert (said["view"], said["Rows"]) == ("LATERAL", 3056)
    assert "StudyDate" not in said


def test_rsna(tmp_path: Path) -> None:
    names = ["0004cfab-14fd-4e49-80ba-63a80b6bddd6", "00436515-870c-4b36-a041-de91049b9ab4"]
    rows = [f"{names[0]},,,,,0", f"{names[1]},264.0,152.0,213.0,379.0,1",
            f"{names[1]},562.0,152.0,256.0,453.0,1"]  # fmt: skip
    place = tmp_path / "stage_2_train_labels.csv"
    place.write_text("\n".join(["patientId,x,y,width,height,Target", *rows]))
    source = opened(tmp_path, "layout=rsna")
    assert found(source) == [(f"stage_2_train_images/{n}.dcm", n, None) for n in names]
    assert (source.classes, [i.labels for i in source.items]) == (("0", "1"), [(1, 0), (0, 1)])
    assert source.items[1].metadata == {}
    place.write_text(place.read_text() + f"\n{names[0]},1.0,1.0,1.0,1.0,1")
    with pytest.raises(UserError, match=rf"the 2 rows of .*{names[0]}\.dcm say different labels"):
        opened(tmp_path, "layout=rsna")


def test_vindr_cxr_of_physionet(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    readers = [["1"] + ["0"] * 27, ["1"] + ["0"] * 27, ["0"] * 27 + ["1"]]
    rows = [f"000434271f63,R{i},{','.join(row)}" for i, row in enumerate(readers, 8)]
    for part, text in {
        "train": [f"image_id,rad_id,{VINDR}Other diseases,No finding", *rows],
        "test": [f"image_id,{VINDR}Other disease,No finding",
                 "002a34c58c5b," + ",".join(["0"] * 26 + ["1", "0"])],
    }.items():  # fmt: skip
        (tmp_path / f"annotations/image_labels_{part}.csv").write_text("\n".join(text) + "\n")
    source = opened(tmp_path, "layout=vindr-cxr")
    assert found(source) == [
        ("train/000434271f63.dicom", None, "train"), ("test/002a34c58c5b.dicom", None, "test"),
    ]  # fmt: skip
    assert len(source.classes) == 27
    assert "No finding" not in source.classes
    names = [
        [name for name, state in zip(source.classes, item.labels, strict=True) if state == PRESENT]
        for item in source.items
    ]
    assert names == [["Aortic enlargement"], ["Other diseases"]]


def test_vindr_cxr_of_kaggle(tmp_path: Path) -> None:
    rows = ["50a418190bc3,No finding,14,R11,,,,",
            "9a5094b2563a,Cardiomegaly,3,R10,691,1375,1653,1831",
            "9a5094b2563a,Aortic enlargement,0,R9,1,2,3,4",
            "9a5094b2563a,Cardiomegaly,3,R8,1,2,3,4"]  # fmt: skip
    head = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
    (tmp_path / "train.csv").write_text("\n".join([head, *rows]))
    source = opened(tmp_path, "layout=vindr-cxr")
    assert [item.sample_id for item in source.items] == [
        "train/50a418190bc3.dicom", "train/9a5094b2563a.dicom",
    ]  # fmt: skip
    assert source.classes == ("Aortic enlargement", "Cardiomegaly")
    assert [item.labels for item in source.items] == [(0, 0), (1, 1)]


def test_kaggle_folders(tmp_path: Path) -> None:
    names = ["train/NORMAL/IM-0115-0001.jpeg", "train/NORMAL/NORMAL2-IM-0383-0001.jpeg",
             "train/PNEUMONIA/person1000_virus_1681.jpeg", "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
             "test/PNEUMONIA/person1_virus_6.jpeg"]  # fmt: skip
    touch(tmp_path / "p", *names, "chest_xray/train/NORMAL/IM-0115-0001.jpeg",
          "__MACOSX/train/NORMAL/._IM-0115-0001.jpeg")  # fmt: skip
    source = opened(tmp_path / "p", "layout=kaggle-pneumonia")
    assert {(item.patient_id, item.split) for item in source.items} == {
        ("IM-0115", "train"), ("NORMAL2-IM-0383", "train"), ("person1000", "train"),
        ("NORMAL2-IM-1427", "val"), ("person1", "test"),
    }  # fmt: skip
    assert source.options.val == "merge_and_cut"
    assert opened(tmp_path / "p", "layout=kaggle-pneumonia", "val=cut").options.val == "cut"
    touch(tmp_path / "c", "COVID/images/COVID-1.png", "COVID/masks/COVID-1.png",
          "Normal/images/Normal-1.png", "Normal/masks/Normal-1.png",
          "Viral Pneumonia/images/Viral Pneumonia-1.png", "README.md.txt")  # fmt: skip
    source = opened(tmp_path / "c", "layout=kaggle-covid")
    assert source.classes == ("Normal", "COVID", "Viral Pneumonia")
    assert len(source.items) == 3


OWN = """\
forms:
  - file: films.csv
    path: "{site}/{film:.2}/{film}.png"
    columns: {label: [dx, diagnosis], patient: [who]}
"""


def test_a_layout_of_ones_own_and_what_the_user_says_before_it(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    layout = f"layout={tmp_path / 'own.yaml'}"
    (tmp_path / "films.csv").write_text(
        "site,film,diagnosis,who,other\nn,0012,ill,p,a\ns,0345,normal,q,b\n"
    )
    source = opened(tmp_path, layout)
    assert found(source) == [("n/00/0012.png", "p", None), ("s/03/0345.png", "q", None)]
    assert source.items[0].metadata == {"site": "n", "film": "0012", "other": "a"}
    assert source.classes == ("normal", "ill")
    words = (
        "label_column=other",
        "negative=a",
        r"patient_pattern=/(\d{4})[.]png",
        "root=/elsewhere",
    )
    source = opened(tmp_path, layout, *words)
    assert (source.classes, source.items[0].patient_id) == (("a", "b"), "0012")
    assert source.items[0].uri == "/elsewhere/n/00/0012.png"
    (tmp_path / "films.csv").write_text("site,film,diagnosis,who\n,0012,ill,p\n")
    with pytest.raises(UserError, match="row 1 has no site, which its path needs"):
        opened(tmp_path, layout)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["layout=nih41"], r"no such layout; did you mean nih14\?; or give a path or URI"),
        (["layout=chexpert"], "pack.layout=chexpert looks for train.csv there"),
        (["layout=rsna", "table=t.csv"], "knows its tables; leave out pack.table"),
        (["layout=bad.yaml"], "not a layout: forms.0.fiel: Extra inputs"),
        (["layout=nih14", "inputs=table"], "are of films, not of pack.inputs=table"),
    ],
)
def test_a_layout_that_does_not_fit_is_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("forms: [{fiel: films.csv}]")
    with pytest.raises(UserError, match=message):
        opened(tmp_path, *words)


def test_tables_that_are_joined_have_one_row_a_key(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "forms: [{file: a.csv, join: [{file: b.csv, on: [id]}], columns: {patient: [id]}}]"
    )
    (tmp_path / "a.csv").write_text("path,id\n1.png,1\n2.png,2\n")
    (tmp_path / "b.csv").write_text("id,label\n1,ill\n1,normal\n")
    with pytest.raises(UserError, match=r"b\.csv: two rows have the same id"):
        opened(tmp_path, f"layout={tmp_path / 'own.yaml'}")
    (tmp_path / "b.csv").write_text("id,label\n7,ill\n8,normal\n")
    with pytest.raises(UserError, match=r"b\.csv: no row has a id of the table"):
        opened(tmp_path, f"layout={tmp_path / 'own.yaml'}")


def test_every_layout_says_what_it_is_and_is_tested_here() -> None:
    own = Path(__file__).read_text()
    shipped = sorted(SHIPPED.glob("*.yaml"))
    assert len(shipped) == 7
    for path in shipped:
        assert path.read_text().startswith("# "), path.name
        assert f"layout={path.stem}" in own
