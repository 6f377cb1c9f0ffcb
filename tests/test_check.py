"""kit check: every row of its tables, whole scripts, rewriting, and the proof of the tables inside the image."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from toolkit.check import check, rewriting, table
from toolkit.cli import app
from toolkit.engine.docker import Docker
from toolkit.engine.plan import Limits, Mount, RunPlan
from toolkit.images import variants
from toolkit.model import CheckTarget, Obsolete, UsageError

NEWEST = CheckTarget("2.21.0", "3.15.1")
KERAS_2 = CheckTarget("2.15.1", "2.15.0")
HERE = Path(__file__).parent
SCRIPTS = HERE / "check"
COURSE = SCRIPTS / "runs/course.py"
KERAS = table.read("keras.json")
TENSORFLOW_1 = table.read("tensorflow1.json")["names"]
ROWS: list[dict[str, Any]] = [*KERAS["names"], *KERAS["calls"], *KERAS["keys"], *KERAS["environment"]]


def target(row: dict[str, Any]) -> CheckTarget:
    """Return what a row holds for: the newest, unless it is one of Keras 2."""
    return KERAS_2 if row.get("keras") == "<3" else NEWEST


def found(code: str, target: CheckTarget, folder: Path, name: str = "script.py") -> list[Obsolete]:
    file = folder / name
    file.write_text(code, encoding="utf-8")
    return list(check([file], target).files[0].findings)


def identity(row: dict[str, Any]) -> str:
    about = row.get("old") or row.get("argument") or row.get("key") or row["name"]
    return f"{about}-{row['why'][:24]}"


# --- rows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=identity)
def test_a_row_finds_its_old_code_and_nothing_in_the_new(row: dict[str, Any], tmp_path: Path) -> None:
    old, new = row["example"]["old"], row["example"]["new"]
    findings = found(old, target(row), tmp_path)
    mine = [each for each in findings if each.why == row["why"]]
    assert mine, findings
    for each in mine:
        assert each.raises == row.get("raises", True)
        text = old.split("\n")[each.line - 1][each.column - 1 :]
        first = re.split(r"[ =(]", each.old)[0]  # an import is shown whole, wherever its name is
        assert text.startswith(first) or text.split(" ")[0] in each.old, (text, each.old)
    # A second argument of the same example has a row of its own.
    assert {each.why for each in findings} <= {other["why"] for other in ROWS if other["example"]["old"] == old}
    assert found(new, target(row), tmp_path) == []
    assert row["source"]


@pytest.mark.parametrize("old", TENSORFLOW_1)
def test_tensorflow_1(old: str, tmp_path: Path) -> None:
    new = TENSORFLOW_1[old]
    short = old.replace("tensorflow", "tf", 1)
    (only,) = found(f"import tensorflow as tf\n\nx = {short}\n", NEWEST, tmp_path)
    assert (only.line, only.column, only.raises) == (3, 5, True)
    assert only.new == (new and new.replace("tensorflow", "tf", 1))
    assert only.old == short or short.startswith(only.old) or only.old.startswith(short)
    module, _, name = old.rpartition(".")
    (only,) = found(f"from {module} import {name}\n", NEWEST, tmp_path)
    assert only.raises
    if new:
        assert found(f"import tensorflow as tf\n{new.replace('tensorflow', 'tf', 1)}\n", NEWEST, tmp_path) == []


# --- inside the image ----------------------------------------------------------------------------------------------


# These can be imported and raise where they are called: their row's example shows it.
CALLED = tuple(
    f"{namespace}.optimizers.legacy." for namespace in table.NAMESPACES if any(row.get("called") for row in ROWS)
)


def places() -> tuple[set[str], set[str], set[str]]:
    """Return the names that the newest image is to lack, those whose attribute alone it lacks, and those it is to have."""
    rows = table.for_target(NEWEST)
    gone, hidden, there = set(), set(), set()
    for row in rows.names.values():
        if row.old[0] == "@":
            continue
        homes = [row.new, row.home, *(each for pair in (row.names or {}).values() for each in pair)]
        there |= {each for each in homes if each}
        if row.raises and not row.old.startswith(CALLED):
            (hidden if row.attribute else gone).add(row.old)
        elif not row.raises:
            there.add(row.old)
    return gone, hidden, there


def rewritten_course() -> str:
    (rewrite,) = rewriting.rewrites([COURSE], NEWEST)[0]
    return rewrite.after.decode()


@pytest.fixture(scope="module")
def proof(engine: Docker, cpu_image: variants.Variant, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give what the image says of every name and example, by one container."""
    gone, hidden, there = places()
    rows = sorted((row for row in ROWS if target(row) == NEWEST), key=lambda row: not row.get("attribute"))
    scripts = list(dict.fromkeys(row["example"][age] for row in rows for age in ("old", "new")))
    scripts += [COURSE.read_text(encoding="utf-8"), rewritten_course()]
    folder = tmp_path_factory.mktemp("cases")
    folder.chmod(0o755)  # another user reads it
    (folder / "cases.json").write_text(json.dumps({"names": sorted(gone | hidden | there), "scripts": scripts}))
    said: dict[str, Any] = {}
    log: list[str] = []

    def on_line(stream: str, line: str) -> None:
        if stream == "stdout":
            answer = json.loads(line)
            said.setdefault(answer.get("name") or answer["code"], {}).update(answer)
        else:
            log.append(line)

    order = RunPlan(
        command=("/inside/course_imports.py", "/cases/cases.json"),
        environment={"HOME": "/tmp", "TF_CPP_MIN_LOG_LEVEL": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        mounts=(Mount(HERE / "inside", "/inside"), Mount(folder, "/cases")),
        image=cpu_image.tag,
        entrypoint=("python",),
        user="1000:1000",
        limits=Limits(memory_bytes=6 << 30),
        deadline_seconds=300,
    )
    ended = engine.run(order, on_line)
    assert ended.code == 0, "\n".join(log[-30:])
    return said


@pytest.mark.engine
@pytest.mark.image
def test_the_image_lacks_what_the_table_says_and_has_what_it_gives_instead(proof: dict[str, Any]) -> None:
    gone, hidden, there = places()
    assert not [name for name in gone if proof[name]["reached"] or proof[name]["imported"]]
    assert not [name for name in hidden if proof[name]["reached"]]
    assert not [name for name in there if not (proof[name]["reached"] or proof[name]["imported"])]
    assert len(gone) > 1300


@pytest.mark.engine
@pytest.mark.image
@pytest.mark.parametrize("row", [row for row in ROWS if target(row) == NEWEST], ids=identity)
def test_a_rows_example_in_the_image(proof: dict[str, Any], row: dict[str, Any]) -> None:
    old, new = proof[row["example"]["old"]], proof[row["example"]["new"]]
    assert new["error"] is None, new
    if row.get("raises", True):
        assert old["error"], old
        assert not re.match("NameError|SyntaxError|IndentationError", old["error"]), old
    else:
        assert old["error"] is None, old
        assert old["warned"] or row.get("silent"), old


@pytest.mark.engine
@pytest.mark.image
def test_a_rewritten_script_runs_in_the_image(proof: dict[str, Any], tmp_path: Path) -> None:
    new = rewritten_course()
    assert proof[COURSE.read_text(encoding="utf-8")]["error"].startswith("ModuleNotFoundError")
    assert proof[new]["error"] is None, proof[new]
    assert found(new, NEWEST, tmp_path) == []


# --- scripts -------------------------------------------------------------------------------------------------------


def expected(code: str) -> list[tuple[int, str, str | None]]:
    """Return line, kind and new of every finding that a script's #> comments want."""
    wanted = []
    for number, line in enumerate(code.split("\n"), 1):
        for part in line.split("#> ")[1:]:
            kind, _, new = part.strip().partition(": ")
            wanted.append((number, kind, new or None))
    return wanted


@pytest.mark.parametrize("file", sorted((SCRIPTS / "old").glob("*.py")), ids=lambda file: file.stem)
def test_old_scripts(file: Path) -> None:
    findings = check([file], NEWEST).files[0].findings
    assert sorted((each.line, each.kind, each.new or "") for each in findings) == sorted(
        (line, kind, new or "") for line, kind, new in expected(file.read_text(encoding="utf-8"))
    )


@pytest.mark.parametrize("file", sorted((SCRIPTS / "modern").glob("*.py")), ids=lambda file: file.stem)
def test_code_that_works_is_not_accused(file: Path) -> None:
    assert check([file], NEWEST).files[0].findings == ()


def test_a_place_is_told_by_line_and_column_in_characters(tmp_path: Path) -> None:
    code = "import tensorflow as tf\nx = ['é', tf.log(1.0)]\nfrom keras.layers import (\n    Dense,\n    Merge)\n"
    places = [(each.line, each.column, each.old) for each in found(code, NEWEST, tmp_path)]
    assert places == [(2, 11, "tf.log"), (5, 5, "from keras.layers import Merge")]


def test_a_text_may_have_a_name_and_an_expression_any_depth(tmp_path: Path) -> None:
    code = "import keras\npath = 'a.h5'\nkeras.Sequential().save_weights(path)\nx = " + " + ".join(
        ["keras.layers"] * 2000
    )
    (only,) = found(code, NEWEST, tmp_path)
    assert (only.line, only.old, only.new) == (3, "path", "'a.weights.h5'")


def test_what_holds_depends_on_the_tensorflow(tmp_path: Path) -> None:
    code = "import keras\nkeras.layers.LocallyConnected1D\nkeras.layers.core\nkeras.backend.mean\n"
    assert [each.line for each in found(code, NEWEST, tmp_path)] == [2, 3, 4]
    assert [each.line for each in found(code, KERAS_2, tmp_path)] == [3]
    estimator = "import tensorflow as tf\ntf.estimator\n"
    assert [found(estimator, each, tmp_path) == [] for each in (NEWEST, KERAS_2)] == [False, True]


def test_a_notebook_is_one_script_told_by_cells(tmp_path: Path) -> None:
    def cell(source: str, kind: str = "code") -> dict[str, Any]:
        return {"cell_type": kind, "source": source.splitlines(keepends=True)}

    cells = [
        cell("# from keras.layers.core import Dense", "markdown"),
        cell("%matplotlib inline\n!pip install keras\nimport keras\nL = keras.layers\nfiles = !ls\nkeras.Model?"),
        cell("%%bash\nfrom keras.layers.core import Dense"),
        cell("%%time\nx = 1\nL.core.Dense(1)"),
        cell("print 'x'"),
    ]
    notebook = json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})
    findings = found(notebook, NEWEST, tmp_path, "course.ipynb")
    assert [(each.cell, each.line, each.column, each.new) for each in findings] == [
        (4, 3, 1, "L.Dense"),
        (5, 1, 1, None),
    ]
    assert "no Python 3" in findings[1].why
    (broken,) = found("{}", NEWEST, tmp_path, "broken.ipynb")
    assert "cannot be read" in broken.why


def test_what_cannot_be_read_is_a_finding_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print 'Python 2'\n")
    (tmp_path / "b.py").write_bytes(b"x = '\xff'\n")
    (tmp_path / "c.py").write_text("import tensorflow as tf\ntf.log\n")
    (tmp_path / "d.py").write_bytes("# coding: latin-1\nx = 'é'\nimport tensorflow as tf\ntf.log\n".encode("latin-1"))
    (tmp_path / "e.py").write_bytes("\ufeffimport tensorflow as tf\r\ntf.log\r\n".encode())
    for left_out in (".venv", ".git", "node_modules"):
        (tmp_path / left_out).mkdir()
        (tmp_path / left_out / "f.py").write_text("from keras.layers.core import Dense\n")
    record = check([tmp_path, tmp_path / "c.py"], NEWEST)
    lines = {Path(file.path).name: [each.line for each in file.findings] for file in record.files}
    assert lines == {"a.py": [1], "b.py": [1], "c.py": [2], "d.py": [4], "e.py": [2]}
    assert all(each.raises for file in record.files for each in file.findings)
    with pytest.raises(UsageError, match=r"gone\.py"):
        check([tmp_path / "gone.py", tmp_path], NEWEST)


# --- the command ---------------------------------------------------------------------------------------------------


def kit(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_the_document(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from keras.layers.core import Dense\nDense(1, input_shape=(2,))\n")
    ended = kit("--json", tmp_path)
    made = json.loads(ended.stdout)
    assert ended.exit_code == 1
    assert list(made) == ["schema", "target", "files"]
    assert made["schema"] == "kit.check/1"
    assert made["target"] == {"tensorflow": NEWEST.tensorflow, "keras": NEWEST.keras}
    (file,) = made["files"]
    assert list(file) == ["path", "findings"]
    keys = ["line", "column", "old", "new", "kind", "raises", "why"]
    assert [list(each) for each in file["findings"]] == [keys, keys]
    assert [each["raises"] for each in file["findings"]] == [True, False]


@pytest.mark.parametrize(
    ("code", "arguments", "exit_code"),
    [
        ("from keras.layers.core import Dense\n", [], 1),
        ("import keras\nkeras.layers.Dense(1, input_shape=(2,))\n", [], 0),
        ("import keras\nkeras.backend.mean\n", ["--tf", "2.15"], 0),
        ("import keras\n", ["--tf", "1.15"], 2),
        ("import keras\n", ["--yes"], 2),
        ("import tensorflow as tf\ntf.log(1.0)\n", ["--write"], 2),  # nobody is there to be asked
        ("import tensorflow as tf\ntf.log(1.0)\n", ["--write", "--yes"], 0),
    ],
)
def test_exit_codes(code: str, arguments: list[str], exit_code: int, tmp_path: Path) -> None:
    script = tmp_path / "a.py"
    script.write_text(code)
    assert kit(*arguments, script).exit_code == exit_code
    assert (script.read_text() == code) == ("--yes" not in arguments or exit_code == 2)


def test_a_place_is_one_line_that_an_editor_finds(tmp_path: Path) -> None:
    script = tmp_path / ("long" * 30 + ".py")
    script.write_text("from keras.layers.core import Dense\n")
    first, last = kit(script).stdout.splitlines()
    assert first.startswith(
        f"{script}:1:1  from keras.layers.core import Dense → from tensorflow.keras.layers import Dense  "
    )
    assert last == "1 file, TensorFlow 2.21.0 with Keras 3.15.1: 1 place will raise"


# --- rewriting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted((SCRIPTS / "old").glob("*.py")), ids=lambda file: file.stem)
def test_a_rewritten_script(file: Path, tmp_path: Path) -> None:
    script = tmp_path / file.name
    script.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (rewrite,) = rewriting.rewrites([script], NEWEST)[0]
    assert rewrite.after.decode() == (SCRIPTS / "rewritten" / file.name).read_text(encoding="utf-8")
    rewriting.write(rewrite)
    assert rewriting.rewrites([script], NEWEST)[0] == ()  # once is enough
    before, after = (check([each], NEWEST).files[0].findings for each in (file, script))
    assert {each.why for each in after} <= {each.why for each in before}
    assert len(after) < len(before)


@pytest.mark.parametrize("row", [row for row in ROWS if target(row) == NEWEST and row.get("safe", True)], ids=identity)
def test_what_is_rewritten_is_no_longer_accused(row: dict[str, Any], tmp_path: Path) -> None:
    script = tmp_path / "a.py"
    script.write_text(row["example"]["old"] + "\n", encoding="utf-8")
    rewrites, _ = rewriting.rewrites([script], NEWEST)
    for rewrite in rewrites:
        rewriting.write(rewrite)
        assert found(script.read_text(encoding="utf-8"), NEWEST, tmp_path, "b.py") == []


def test_formatting_comments_line_ends_encoding_and_mode_stay(tmp_path: Path) -> None:
    script, link = tmp_path / "a.py", tmp_path / "link.py"
    old = (
        "# coding: latin-1\r\nfrom keras.layers.core import (  # the layers: \xe9\r\n    Dense,  # one\r\n    Flatten,\r\n)\r\n"
        "from keras.optimizers import SGD; x = 1\r\nopt = SGD( lr = 0.1,   # rate\r\n           decay=1e-6,\r\n           )\r\n"
        "opt2 = SGD(0.1, decay=1e-6) # end\r\nimport tensorflow as tf\r\ny = (tf\r\n     .log)(1.)\r\n"
    )
    new = (
        old.replace("from keras.layers.core", "from tensorflow.keras.layers")
        .replace("lr = 0.1", "learning_rate = 0.1")
        .replace("           decay=1e-6,\r\n", "")
        .replace("(0.1, decay=1e-6)", "(0.1)")
        .replace("(tf\r\n     .log)", "(tf.math.log)")
    )
    script.write_bytes(old.encode("latin-1"))
    script.chmod(0o754)
    link.symlink_to(script)
    ended = kit("--write", "--yes", link)
    assert ended.exit_code == 0, ended.output
    assert "+opt2 = SGD(0.1) # end" in ended.stdout
    assert script.read_bytes().decode("latin-1") == new
    assert link.is_symlink()
    assert stat.S_IMODE(script.stat().st_mode) == 0o754
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.py", "link.py"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # An import is changed where it binds what is used, and only once.
        (
            "from keras import backend as K\nK.mean(K.square([1.0]))",
            "from tensorflow.keras import backend as K\nK.mean(K.square([1.0]))",
        ),
        (
            "from keras.preprocessing import image\nimage.ImageDataGenerator()",
            "from tensorflow.keras.preprocessing import image\nimage.ImageDataGenerator()",
        ),
        # Names that go to several modules.
        (
            "if True:\n    from keras.objectives import mse, hinge  # losses\n",
            "if True:\n    from tensorflow.keras.losses import mse, hinge  # losses\n",
        ),
        (
            "from keras.engine.topology import Layer, Input  # both\n",
            "from tensorflow.keras.layers import Layer\nfrom tensorflow.keras import Input  # both\n",
        ),
        # Nothing of an import is changed where a part of it has no place.
        ("from keras.layers.core import Dense, Merge\n", None),
        # The order of arguments differs: generator, steps_per_epoch, epochs.
        ("import keras\nm = keras.Sequential()\nm.fit_generator(g, 10, 5)\n", None),
        (
            "import keras\nm = keras.Sequential()\nm.fit_generator(generator=g, nb_epoch=5)\n",
            "import keras\nm = keras.Sequential()\nm.fit(x=g, epochs=5)\n",
        ),
        # What does something else under its new name, or needs another import.
        ("import tensorflow as tf\ntf.Session()\n", None),
        ("import keras\nkeras.preprocessing.text.Tokenizer()\n", None),
        ("import keras\nkeras.Sequential().save_weights('a.h5')\n", None),
        ("import tensorflow as tf\nf'{tf.log(1.0)}'\n", "import tensorflow as tf\nf'{tf.math.log(1.0)}'\n"),
    ],
)
def test_what_is_safe_to_rewrite(old: str, new: str | None, tmp_path: Path) -> None:
    script = tmp_path / "a.py"
    script.write_text(old)
    rewrites, _ = rewriting.rewrites([script], NEWEST)
    assert [each.after.decode() for each in rewrites] == ([new] if new else [])


def test_notebooks_are_left_as_they_are(tmp_path: Path) -> None:
    notebook = tmp_path / "a.ipynb"
    cell = {"cell_type": "code", "source": "import tensorflow as tf\ntf.log(1.0)"}
    notebook.write_text(json.dumps({"cells": [cell]}))
    before = notebook.read_bytes()
    ended = kit("--write", "--yes", notebook)
    assert ended.exit_code == 1
    assert "notebooks are left as they are" in ended.stdout
    assert notebook.read_bytes() == before
