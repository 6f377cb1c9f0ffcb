"""A table of the user's own: read in every form, refused where it cannot be right, scaled and shuffled once, predicted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler

sys.path.insert(0, str(Path(__file__).parent.parent / "workloads"))

import predict
import prepared
import scaling
import shuffled
import streamed
import table

from toolkit import doctor, records
from toolkit.engine.docker import Docker
from toolkit.engine.plan import Limits, Mount, RunPlan
from toolkit.images import variants
from toolkit.model import UsageError
from toolkit.own import layer
from toolkit.workloads import again, data
from toolkit.workloads.packaged import workload
from toolkit.workloads.plan import Options, Place, checked
from toolkit.workloads.run import run

KIT = str(Path(sys.executable).with_name("kit"))
WORK = workload("side_effects")
PEOPLE = [(age, round(age % 7 / 7, 3), "yes" if age > 65 else "no") for age in range(20, 100)]


class Asked:
    """What is asked of a table, with what most tests ask of it."""

    def __init__(self, file: Path, out: Path, **asked: Any) -> None:
        self.data, self.out = file, out
        self.target, self.features, self.impute, self.stream, self.seed = "sick", None, None, False, 0
        vars(self).update(asked)


def text(rows: list[tuple[Any, ...]], delimiter: str = ",", end: str = "\n") -> str:
    return end.join(delimiter.join(map(str, row)) for row in [("age", "dose", "sick"), *rows]) + end


def written(folder: Path, said: str | bytes, name: str = "people.csv") -> Path:
    file = folder / name
    file.write_bytes(said.encode() if isinstance(said, str) else said)
    return file


def ready(file: Path, notes: list[str] | None = None, **asked: Any) -> prepared.Prepared:
    out = file.parent / f"out{len(list(file.parent.iterdir()))}"
    out.mkdir()
    return prepared.prepared(Asked(file, out, **asked), (notes if notes is not None else []).append)


def same(one: prepared.Prepared, other: prepared.Prepared) -> bool:
    arrays = np.array_equal(one.x, other.x) and np.array_equal(one.y, other.y)
    return arrays and one.scaling == other.scaling and one.first_held_out == other.first_held_out


# --- what is read ----------------------------------------------------------------------------------------------------


QUOTED = '"age","dose","sick"\r\n' + "".join(f'"{age}", "{dose}" ,"{sick}"\r\n' for age, dose, sick in PEOPLE)
NPZ = {"age": np.array([row[0] for row in PEOPLE]), "dose": np.array([row[1] for row in PEOPLE])}
SICK = np.array([row[2] for row in PEOPLE])


@pytest.mark.parametrize(
    "said",
    [
        text(PEOPLE, ";"),
        text(PEOPLE, "\t"),
        text(PEOPLE, "|"),
        text(PEOPLE, ", "),
        text(PEOPLE, end="\r\n"),
        "\ufeff" + text(PEOPLE),
        "\n\n" + text(PEOPLE).replace("\n40,", "\n\n40,"),
        text(PEOPLE).encode("utf-16"),
        QUOTED,
    ],
)
def test_every_csv_is_the_same_table(tmp_path: Path, said: str | bytes) -> None:
    plain = ready(written(tmp_path, text(PEOPLE), "plain.csv"))
    assert (plain.scaling.features, plain.scaling.classes) == (("age", "dose"), ("no", "yes"))
    assert same(ready(written(tmp_path, said)), plain)


@pytest.mark.parametrize(
    "arrays",
    [
        {**NPZ, "sick": SICK},
        {**NPZ, "sick": SICK.astype("S")},
        {**NPZ, "sick": SICK.reshape(-1, 1), "pictures": np.zeros((80, 2, 2))},
        {"age": NPZ["age"].astype(np.uint8), "dose": NPZ["dose"], "sick": SICK},
    ],
)
def test_an_npz_is_the_table_too(tmp_path: Path, arrays: dict[str, Any]) -> None:
    plain = ready(written(tmp_path, text(PEOPLE)))
    for number, save in enumerate((np.savez, np.savez_compressed)):
        save(tmp_path / f"people{number}.npz", **arrays)
        assert same(ready(tmp_path / f"people{number}.npz"), plain)


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_rows_is_a_column_for_each_of_its_own(tmp_path: Path, order: Any) -> None:
    x = np.array(np.column_stack([NPZ["age"], NPZ["dose"], NPZ["age"] * 2]), order=order)
    np.savez(tmp_path / "people.npz", x=x, sick=SICK == "yes")
    whole, some = ready(tmp_path / "people.npz", features="x"), ready(tmp_path / "people.npz", features="x[1],x[0]")
    assert (whole.scaling.features, some.scaling.features) == (("x[0]", "x[1]", "x[2]"), ("x[1]", "x[0]"))
    assert whole.scaling.classes == (0, 1)
    assert np.array_equal(whole.x[:, [1, 0]], some.x)


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["0", "1"], (0, 1)),
        (["0.0", "1.0"], (0, 1)),
        (["10", "9", "-1"], (-1, 9, 10)),
        (["b", "a"], ("a", "b")),
        (["1", "two", "10"], ("1", "10", "two")),
        (["007", "7"], ("007", "7")),
        (["True", "False"], ("False", "True")),
    ],
)
def test_classes_are_found(tmp_path: Path, cells: list[str], classes: tuple[Any, ...]) -> None:
    rows = [(age, 1, cells[age % len(cells)]) for age in range(60)]
    made = ready(written(tmp_path, text(rows)))
    assert made.scaling.classes == classes
    ages = (made.x[:, 0].astype(float) - made.scaling.min[0]) / made.scaling.scale[0]
    names = [str(classes[number]) for number in made.y]
    assert names == [
        str(classes[list(map(str, classes)).index(_plain(cells[round(age) % len(cells)]))]) for age in ages
    ]


def _plain(cell: str) -> str:
    return cell.removesuffix(".0")


def test_truth_is_a_number_and_a_column_without_a_name_is_left_out(tmp_path: Path) -> None:
    notes: list[str] = []
    rows = "".join(f"{number},{number % 2 == 0},{number % 3}\n" for number in range(40))
    made = ready(written(tmp_path, ",even,sick\n" + rows), notes)
    assert (made.scaling.features, set(made.x.ravel().tolist())) == (("even",), {0.0, 1.0})
    assert notes == ["left out: a column without a name"]


# --- what is refused -------------------------------------------------------------------------------------------------

MANY = [(age, 0.5, "no") for age in range(12)]


def with_row(number: int, *row: Any) -> str:
    return text([*PEOPLE[:number], row, *PEOPLE[number:]])


REFUSED: list[tuple[str | bytes, dict[str, Any], str]] = [
    ("", {}, "people.csv is empty"),
    ("age,dose,sick\n", {}, "people.csv has names of columns and no rows: give at least 10"),
    (text(PEOPLE[:4]), {}, "people.csv has 4 rows: give at least 10"),
    (text(MANY), {}, "people.csv: every row is of class 'no': give rows of two classes or more"),
    (text(PEOPLE), {"target": "sikc"}, "people.csv has no column 'sikc'; is 'sick' meant?"),
    (text(PEOPLE), {"target": "weight"}, "people.csv has no column 'weight'; there are age, dose, sick"),
    (text(PEOPLE), {"features": "age,Dose"}, "people.csv has no column 'Dose'; is 'dose' meant?"),
    (text(PEOPLE), {"features": "age,sick"}, "'sick' is the target and cannot be a feature too"),
    ("sick\n1\n0\n", {}, "people.csv has no column beside the target 'sick'"),
    ("age,age,sick\n1,2,3\n", {}, "people.csv has more than one column 'age': give each a name of its own"),
    ("20,0.5,1\n21,0.5,0\n", {}, "people.csv has numbers in its first line: give it a first line with the names"),
    (with_row(3, 40, 0.5), {}, "people.csv, line 5 has 2 cells, and there are 3 columns"),
    (with_row(0, "old", 0.5, "no"), {}, "people.csv, line 2: age is 'old', and a feature must be numbers; put numbers for it"),
    (text(PEOPLE).replace(",0.286,", ";0,286;").replace(",", ";"), {}, "cells, and there are 3 columns"),
    (text([(1, '"1,500"', "no")] * 12), {}, "dose is '1,500', and a feature must be numbers; if its comma parts thousands, leave"),
    (text([(1, '"0,5"', "no")] * 12), {}, "people.csv, line 2: dose is '0,5', and a feature must be numbers; write its decimals"),
    (with_row(2, "", 0.5, "no"), {}, "people.csv: 1 value is missing, in line 4 (age); fill them in, leave these rows out, or"),
    (with_row(2, "NaN", " ", "no"), {}, "people.csv: 2 values are missing, in lines 4 (age), 4 (dose); "),
    (text([*PEOPLE, *[("", 1, "no")] * 12]), {}, "12 values are missing, of which the first 10 are in lines 82 (age), 83 (age), 84 (age), 85"),
    (with_row(2, 30, 0.5, ""), {}, "people.csv: 1 value is missing in the target, in line 4 (sick); leave these rows out"),
    (with_row(2, 30, 0.5, ""), {"impute": "median"}, "people.csv: 1 value is missing in the target, in line 4 (sick)"),
    (with_row(2, "inf", 0.5, "no"), {"impute": "median"}, "people.csv: 1 value is infinite, in line 4 (age); leave these rows"),
    (text([("", 1, row[2]) for row in PEOPLE]), {"impute": "median"}, "people.csv: age has no value to take the median of"),
    (text([*PEOPLE, (50, 0.5, 1.5)]), {}, "people.csv, line 82: the target sick is 1.5, and a class is a whole number or a word"),
    (text([(n, 1, f"name{n}") for n in range(1200)]), {}, "people.csv: sick has more than 1,000 different values: is it an amount"),
    (text([*PEOPLE, (50, 0.5, '"open'), *PEOPLE * 900]), {}, "is a quote left open?"),
    (text(PEOPLE).replace("no", "ñ").encode("latin1"), {}, "people.csv is not in UTF-8: save it as UTF-8"),
    (text([*PEOPLE, (50, '"0.5\n"', "no"), ("x", 1, "no")]), {}, "people.csv, line 84: age is 'x', and a feature must be"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "asked", "why"), REFUSED, ids=[row[2][:60] for row in REFUSED])
def test_what_cannot_be_trained_on_is_refused_with_what_to_do(
    tmp_path: Path, said: str | bytes, asked: dict[str, Any], why: str
) -> None:
    file = written(tmp_path, said)
    for stream in (False, True):
        with pytest.raises(ValueError, match=re.escape(why)):
            ready(file, stream=stream, **asked)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"age": np.arange(20), "sick": np.arange(19) % 2}, "people.npz has not as many of each: age 20, sick 19"),
        ({"age": np.arange(20) * 1j, "sick": np.arange(20) % 2}, "people.npz has no column beside the target 'sick'"),
        ({"age": np.arange(20).astype("M8[s]"), "dose": np.arange(20), "sick": np.arange(20) / 7}, "row 2: the target sick"),
        ({"age": np.arange(20).astype(str), "sick": np.arange(20) * 0}, "every row is of class 0"),
        ({"age": np.arange(20), "sick": np.eye(20, 2)}, "'sick' has several columns, as one-hot labels have; save the number of each"),
        ({"pictures": np.zeros((9, 2, 2))}, "people.npz has no array of rows; there are pictures (shape (9, 2, 2), float64)"),
        ({"age": np.array([1, np.nan] * 10), "sick": np.arange(20) % 2}, "10 values are missing, in rows 2 (age), 4 (age)"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any], why: str) -> None:
    np.savez(tmp_path / "people.npz", **arrays)
    with pytest.raises(ValueError, match=re.escape(why)):
        ready(tmp_path / "people.npz")


def test_an_npz_that_is_none_or_holds_objects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"people.npz is no file of numpy.savez"):
        ready(written(tmp_path, "no archive", "people.npz"))
    np.savez(tmp_path / "people.npz", age=np.array([{}] * 20, object), sick=np.arange(20) % 2)
    with pytest.raises(ValueError, match="no column beside the target"):
        ready(tmp_path / "people.npz")


def test_a_class_that_is_not_among_those_trained_on_is_refused(tmp_path: Path) -> None:
    held_out = int(np.argmax(np.random.default_rng(0).random(len(PEOPLE))))  # the seed's last row
    rows = [*PEOPLE[:held_out], (30, 0.5, "maybe"), *PEOPLE[held_out + 1 :]]
    with pytest.raises(ValueError, match="no row of class 'maybe' is among those trained on"):
        ready(written(tmp_path, text(rows)))
    assert ready(written(tmp_path, text(rows)), seed=1).scaling.classes == ("maybe", "no", "yes")


# --- what comes of it ------------------------------------------------------------------------------------------------


def random_table(folder: Path, rows: int) -> Path:
    columns = np.random.default_rng(5).normal(40, 20, (rows, 3)).round(3)
    lines = (f"{a},{b},{c},{int(a + b > 80)}" for a, b, c in columns.tolist())
    return written(folder, "a,b,c,sick\n" + "\n".join(lines))


def test_from_disk_the_samples_are_those_of_memory_bit_by_bit(tmp_path: Path) -> None:
    file = random_table(tmp_path, table.ROWS * 2 + 7)
    whole, on_disk = ready(file), ready(file, stream=True)
    assert (whole.on_disk, on_disk.on_disk) == (False, True)
    assert same(whole, on_disk)
    assert not same(whole, ready(file, seed=1))


@pytest.mark.parametrize("chunk", [1, 300, 5000])
def test_the_order_of_rows_depends_neither_on_the_budget_nor_on_the_chunks(tmp_path: Path, chunk: int) -> None:
    rows = np.arange(2400.0).reshape(1200, 2)

    def order(budget_bytes: int) -> np.ndarray:
        chunks = (rows[start : start + chunk] for start in range(0, len(rows), chunk))
        made = shuffled.shuffled(chunks, 3, tmp_path / "parts", budget_bytes)
        assert made.on_disk == (budget_bytes < rows.nbytes * 1.5)
        assert np.array_equal(*(np.concatenate(list(made.parts())) for _ in range(2)))
        return np.concatenate(list(made.parts()))

    expected = rows[np.argsort(np.random.default_rng(3).random(1200))]
    assert all(np.array_equal(order(budget), expected) for budget in (0, 10_000, 1 << 30))


def test_the_scaler_is_min_max_scalers_of_the_rows_trained_on_alone(tmp_path: Path) -> None:
    file = random_table(tmp_path, 3000)
    raw = np.loadtxt(file, delimiter=",", skiprows=1)
    raw = raw[np.argsort(np.random.default_rng(0).random(3000))]
    theirs = MinMaxScaler().fit(raw[:2700, :3])
    for stream in (False, True):
        made = ready(file, stream=stream)
        assert made.first_held_out == 2700
        assert np.array_equal(made.x, theirs.transform(raw[:, :3]).astype(np.float32))
        assert np.array_equal(made.y, raw[:, 3])


def test_the_classes_of_the_rows_stay_with_them(tmp_path: Path) -> None:
    made = ready(written(tmp_path, text(PEOPLE)), stream=True)
    ages = (made.x[:, 0].astype(float) - made.scaling.min[0]) / made.scaling.scale[0]
    assert ((ages > 65.5) == (made.y == 1)).all()


@pytest.mark.parametrize("stream", [False, True])
def test_medians_of_the_rows_trained_on_stand_for_what_is_missing(tmp_path: Path, stream: bool) -> None:
    notes: list[str] = []
    rows = [(age if age % 3 else "", dose, sick) for age, dose, sick in PEOPLE]
    made = ready(written(tmp_path, text(rows)), notes, impute="median", stream=stream)
    assert made.scaling.fill is not None
    ages = (made.x[:, 0].astype(float) - made.scaling.min[0]) / made.scaling.scale[0]
    trained = ages[: made.first_held_out]
    known = trained[np.round(trained) % 3 != 0]
    assert made.scaling.fill[0] == pytest.approx(np.median(known), abs=0.51)
    assert np.isclose(ages, made.scaling.fill[0], atol=1e-4).sum() >= 27
    assert np.isfinite(made.x).all()
    of = "some of the rows" if stream else "the rows"
    assert notes == [f"27 missing values are the median of the column, in {of} trained on"]


def test_classes_that_may_be_mistakes_are_told(tmp_path: Path) -> None:
    notes: list[str] = []
    ready(written(tmp_path, text([*PEOPLE, *[(50, 0.5, "No")] * 9, *[(90, 0.5, "x")] * 4])), notes)
    assert notes == [
        "classes of very few rows: 'x' (4); were they meant?",
        "'No' and 'no' are classes of their own; if one is meant, write it in one way",
    ]
    notes.clear()
    numbers = [(age, dose, int(sick == "yes")) for age, dose, sick in PEOPLE]
    ready(written(tmp_path, text([*numbers, *[(50, 0.5, "x")] * 4])), notes)
    assert notes == ["classes of very few rows: 'x' (4); were they meant?"]


def test_what_is_kept_is_what_was_made(tmp_path: Path) -> None:
    file = written(tmp_path, text(PEOPLE))
    for stream in (False, True):
        made = ready(file, stream=stream)
        out = max(tmp_path.glob("out*"), key=lambda each: each.stat().st_mtime_ns)
        assert sorted(each.name for each in out.iterdir()) == ["labels.npy", "samples.npy", "scaler.json"]
        assert same(prepared.kept(out), made)
        assert isinstance(prepared.kept(out).x, np.memmap) is stream


def test_the_order_of_an_epoch_from_disk_depends_on_the_seed_and_the_epoch_alone() -> None:
    orders = [
        np.concatenate(list(streamed.order(1000, 7, seed, epoch))).tolist() for seed in (0, 1) for epoch in (0, 1)
    ]
    assert all(sorted(each) == list(range(1000)) for each in orders)
    assert len({tuple(each) for each in orders}) == 4
    assert orders[3] == np.concatenate(list(streamed.order(1000, 7, 1, 1))).tolist()
    assert np.concatenate(list(streamed.order(1000, 7, None, 0))).tolist() == list(range(1000))
    assert max(map(len, streamed.order(1000, 7, 0, 0))) == 7 * streamed.BLOCKS


# --- new samples -----------------------------------------------------------------------------------------------------

FITTED = scaling.Scaling(("age", "dose"), (0.01, 1.0), (0.0, 0.0), "sick", ("no", "yes"))


def scaled(file: Path, fitted: scaling.Scaling = FITTED) -> tuple[np.ndarray, Any]:
    (part,) = predict.parts(table.table(file), fitted)
    return part.x, None if part.y is None else part.y.tolist()


@pytest.mark.parametrize(
    ("said", "y"),
    [
        ("age,dose\n50,0.5\n70,1\n", None),
        ("name,dose,age\nA,0.5,50\nB,1,70\n", None),
        ("dose,sick,age\n0.5,no,50\n1,yes,70\n", [0, 1]),
        ("dose,sick,age\n0.5,,50\n1,perhaps,70\n", [-1, -1]),
    ],
)
def test_new_samples_have_the_columns_of_the_run_in_any_order(tmp_path: Path, said: str, y: list[int] | None) -> None:
    x, labels = scaled(written(tmp_path, said))
    assert np.array_equal(x, np.array([[0.5, 0.5], [0.7, 1]], "f4"))
    assert labels == y


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("age,doze\n50,0.5\n", "people.csv lacks dose, which the run was trained on; is 'doze' meant?"),
        ("a,b\n50,0.5\n", "people.csv lacks age, dose, which the run was trained on; it has a, b"),
        ("age,dose\n50,\n", "people.csv: 1 value is missing, in line 2 (dose)"),
        ("age,dose\nold,1\n", "people.csv, line 2: age is 'old', and a feature must be numbers"),
    ],
)
def test_new_samples_that_do_not_fit_are_refused(tmp_path: Path, said: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        scaled(written(tmp_path, said))


def test_what_is_missing_in_new_samples_is_the_runs_median(tmp_path: Path) -> None:
    x, _ = scaled(written(tmp_path, "age,dose\n50,\n"), FITTED._replace(fill=(30.0, 0.25)))
    assert np.array_equal(x, np.array([[0.5, 0.25]], "f4"))


# --- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"data": None, "target": "sick"}, "--target is of a table of your own: give it with --data FILE"),
        ({"data": None, "target": None, "stream": True}, "--stream is of a table of your own"),
        ({"target": None}, "say which of its columns is to be predicted, with --target COLUMN"),
        ({"impute": "mean"}, "--impute mean: give median"),
        ({"data": "people.txt"}, "give a file whose name ends in .csv, .tsv, .npz or .parquet"),
        ({"data": "nowhere.csv"}, "--data nowhere.csv: there is no such file"),
        ({"data_sha256": "0" * 64}, "has changed since that run"),
    ],
)
def test_options_of_a_table_that_cannot_be_are_wrong_usage(tmp_path: Path, asked: dict[str, Any], why: str) -> None:
    given = {"data": str(written(tmp_path, text(PEOPLE))), "target": "sick", **asked}
    with pytest.raises(UsageError, match=re.escape(why)):
        data.checked(Options(**given), WORK)


def test_a_workload_that_takes_no_table_says_so(tmp_path: Path) -> None:
    options = Options(data=str(written(tmp_path, text(PEOPLE))), target="sick")
    with pytest.raises(UsageError, match="the workload shapes takes no --data"):
        data.checked(options, workload("shapes"))


def test_a_table_is_known_by_its_content_and_not_its_date(tmp_path: Path) -> None:
    file = written(tmp_path, text(PEOPLE))
    options = data.checked(Options(data=str(file), target="sick"), WORK)
    os.utime(file, (1, 1))
    assert data.checked(options, WORK) == options
    written(tmp_path, text(PEOPLE[1:]))
    with pytest.raises(UsageError, match="has changed since that run"):
        data.checked(options, WORK)


# --- in the image ----------------------------------------------------------------------------------------------------


def kit(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([KIT, "run", *arguments, "--json"], capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.engine
@pytest.mark.image
def test_a_table_is_trained_on_predicted_repeated_and_refused_once_it_changed(
    cpu_image: variants.Variant, tmp_path: Path
) -> None:
    file = written(tmp_path, text(PEOPLE * 20, ";"))
    out = ("--out", str(tmp_path))
    code, made = kit("workload", "--data", str(file), "--target", "sick", "--epochs", "20", "--gpus", "none", *out)
    assert (code, made["status"]) == (0, "succeeded")
    assert made["results"]["val_accuracy"] > 0.9
    assert {"samples.npy", "labels.npy", "scaler.json", "model.keras"} <= made["artifacts"].keys()
    folder = tmp_path / made["run_id"]
    assert "said yes" in (folder / "report.html").read_text()
    assert "best possible" not in (folder / "report.html").read_text()

    new = written(tmp_path, "name,sick,dose,age\nA,yes,0.5,97\nB,no,0.1,21\nC,,0.1,22\nD,dead,0.1,900\n", "new.csv")
    code, said = kit("predict", str(folder), "--data", str(new))
    assert (code, said["rows"], said["judged"], said["accuracy"]) == (0, 4, 2, 1.0)
    outside, unknown = said["notes"]
    assert outside.startswith("1 of 4 rows lie outside of what the run was trained on")
    assert unknown.endswith("that do not count in its accuracy: 'dead' (1)")
    assert (said["classes"], said["confusion_matrix"], said["ignored"]) == (["no", "yes"], [[1, 0], [0, 1]], ["name"])
    assert said["output"] == str(folder / "predictions.csv")
    rows = (folder / "predictions.csv").read_text().splitlines()
    assert rows[0] == "row,sick,probability of no,probability of yes"
    assert [row.split(",")[:2] for row in rows[1:]] == [["1", "yes"], ["2", "no"], ["3", "no"], ["4", "yes"]]
    elsewhere = tmp_path / "there" / "said.csv"
    code, local = kit("predict", str(folder), "--data", str(new), "--output", str(elsewhere), "--engine", "local")
    assert (code, local["engine"], local["image"]) == (0, "local", None)
    assert [row.split(",")[1] for row in elsewhere.read_text().splitlines()] == ["sick", "yes", "no", "no", "yes"]

    code, refused = kit("predict", str(folder), "--data", str(written(tmp_path, "age\n1\n", "new.csv")))
    assert (code, refused["findings"][0]["id"]) == (1, "data-unfit")
    assert "lacks dose" in refused["findings"][0]["cause"]

    code, repeated = kit("workload", "--repeat", str(folder), *out)
    assert (code, repeated["results"]["loss"]) == (0, made["results"]["loss"])
    written(tmp_path, text(PEOPLE * 21, ";"))
    code, error = kit("workload", "--repeat", str(folder), *out)
    assert code == 2
    assert "has changed since that run" in error["error"]


@pytest.mark.engine
@pytest.mark.image
def test_the_courses_own_run_predicts_too(cpu_image: variants.Variant, tmp_path: Path) -> None:
    code, made = kit("workload", "--epochs", "30", "--gpus", "none", "--out", str(tmp_path))
    new = written(tmp_path, "age\n15\n95\n", "new.csv")
    code, said = kit(
        "predict", str(tmp_path / made["run_id"]), "--data", str(new), "--output", str(tmp_path / "said.csv")
    )
    assert (code, said["classes"], said["accuracy"]) == (0, [0, 1], None)
    assert [row.split(",")[1] for row in (tmp_path / "said.csv").read_text().splitlines()] == ["side_effects", "0", "1"]


@pytest.mark.engine
@pytest.mark.image
def test_a_bad_table_ends_the_run_before_training(cpu_image: variants.Variant, tmp_path: Path) -> None:
    file = written(tmp_path, with_row(2, "", 0.5, "no"))
    code, made = kit("workload", "--data", str(file), "--target", "sick", "--gpus", "none", "--out", str(tmp_path))
    (found,) = made["findings"]
    assert (code, made["status"], found["id"]) == (1, "failed", "data-unfit")
    assert "1 value is missing, in line 4 (age)" in found["cause"]
    assert made["results"]["epochs"] is None
    assert "model.keras" not in made["artifacts"]


@pytest.mark.engine
@pytest.mark.image
def test_data_larger_than_memory_is_trained_on(cpu_image: variants.Variant, engine: Docker, tmp_path: Path) -> None:
    limit = 512 << 20
    x = np.random.default_rng(0).integers(0, 256, (2_400_000, 29), np.uint8)
    np.savez(tmp_path / "large.npz", x=x, y=x[:, 0] > 127)
    assert x.size * 8 > limit  # as the numbers that are scaled
    del x
    options = Options(epochs=1, batch_size=2048, gpus="none", data=str(tmp_path / "large.npz"), target="y")
    options = data.checked(checked(options, WORK), WORK)
    folder, place = records.new_run("side_effects", tmp_path), Place(engine, cpu_image)
    made = run(WORK, options, folder, doctor.this_machine(), place, lambda _: None, memory_bytes=limit)
    assert made.status == "succeeded", made.findings
    assert made.results["val_accuracy"] > 0.8
    assert any("read from disk" in note for note in made.notes)
    assert again.asked(folder.path)[1] == options


WRITE_PARQUET = """
import pyarrow, pyarrow.parquet
ages = list(range(20, 100)) * 5
columns = {"__index_level_0__": list(range(400)), "age": [None, *ages[1:]], "smokes": [age % 2 == 0 for age in ages], "sick": ["yes" if age > 65 else "no" for age in ages]}
pyarrow.parquet.write_table(pyarrow.table(columns), "/out/people.parquet")
"""


@pytest.mark.engine
@pytest.mark.image
def test_parquet_is_read_by_a_layer_on_the_image(cpu_image: variants.Variant, engine: Docker, tmp_path: Path) -> None:
    tag = layer.image(engine, cpu_image, data.PARQUET_READER, lambda _: None)
    tmp_path.chmod(0o777)
    lines: list[str] = []
    order = RunPlan(
        ("python", "-c", WRITE_PARQUET),
        {},
        (Mount(tmp_path, "/out", read_only=False),),
        image=tag,
        user="1000:1000",
        limits=Limits(1 << 30),
    )
    ended = engine.run(order, lambda _, line: lines.append(line))
    assert ended.code == 0, lines
    told = ("--data", str(tmp_path / "people.parquet"), "--target", "sick", "--gpus", "none", "--out", str(tmp_path))
    code, made = kit("workload", *told, "--epochs", "2")
    assert "1 value is missing, in row 1 (age)" in made["findings"][0]["cause"]
    code, made = kit("workload", *told, "--epochs", "2", "--impute", "median")
    assert (code, made["image"]) == (0, tag)
    assert "left out: __index_level_0__" in made["notes"]
    code, said = kit("predict", str(tmp_path / made["run_id"]), "--data", str(tmp_path / "people.parquet"))
    assert (code, said["rows"], said["judged"]) == (0, 400, 400)
