"""Predicts the classes of a table's rows with the model of a run, and counts how many are right where the table tells."""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scaling
from backends import as_numpy
from numpy.typing import NDArray
from prepared import Wrong, classes
from runtime import emit, fail, stop_on_sigterm
from scaling import Scaling
from table import Table, nearest, numbers, table

OUTPUT = "predictions.csv"
SAMPLES = 1024  # the model takes at a time
TOLERANCE = 1e-5  # of 0..1, by the rounding of 32 bits
SHOWN = 10  # classes that are none of the model's


class Part(NamedTuple):
    """Some rows of a table: as the model takes them, and the numbers of their classes, None where it does not tell; the
    classes that are none of the model's ("None" where one is missing)."""

    x: NDArray[np.float32]
    y: NDArray[np.int32] | None
    strange: list[str]


def main() -> int:
    """Write what the model of a run says of each row, tell kit of it, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="the folder of the run")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the folder for predictions.csv")
    options = parser.parse_args()
    stop_on_sigterm()
    emit("started")
    try:
        return told(options.run, options.data, options.out / OUTPUT)
    except KeyboardInterrupt:
        emit("interrupted")
        return 130


def told(run: Path, data: Path, output: Path) -> int:
    """Write what the model of a run says of a table, tell kit of it, and return the exit code."""
    fitted, _ = scaling.load(run)
    try:
        there = table(data)
        scaled = parts(there, fitted)
        first = next(scaled, None)  # before the seconds that the import takes
        if first is None:
            raise ValueError(f"{there.file.name} has no rows")
    except ValueError as error:
        fail("data-unfit", str(error))
    net = model(run / "model.keras")
    try:
        results = predicted(net, fitted, first, scaled, output)
    except ValueError as error:
        fail("data-unfit", str(error))
    known = (*fitted.features, fitted.target)
    emit(
        "results",
        classes=fitted.classes,
        ignored=[*(name for name in there.columns if name not in known), *there.ignored],
        **results,
    )
    return 0


def parts(there: Table, fitted: Scaling) -> Iterator[Part]:
    """Give the rows of a table. Raises ValueError where it lacks a column, or values that may not be missing."""
    lacks = [name for name in fitted.features if name not in there.columns]
    if lacks:
        hint = nearest(lacks[0], there.columns) if len(lacks) == 1 else f"; it has {', '.join(there.columns)}"
        raise ValueError(f"{there.file.name} lacks {', '.join(lacks)}, which the run was trained on{hint}")
    told = fitted.target in there.columns
    wrong = Wrong(there, imputed=fitted.fill is not None, trains=False)
    for chunk in there.chunks((*fitted.features, *([fitted.target] if told else []))):
        cells = chunk.cells[: len(fitted.features)]
        values = [numbers(there, name, chunk.places, each) for name, each in zip(fitted.features, cells, strict=True)]
        for name, column in zip(fitted.features, values, strict=True):
            wrong.look("missing", name, chunk.places[np.isnan(column)])
            wrong.look("infinite", name, chunk.places[np.isinf(column)])
        labels = classes(there, fitted.target, chunk.places, chunk.cells[-1]) if told else None
        y = None if labels is None else fitted.numbered(labels)
        strange = [] if labels is None or y is None else [str(labels[row]) for row in np.flatnonzero(y < 0)]
        yield Part(fitted(np.column_stack(values)), y, strange)
    wrong.refuse()


def model(file: Path) -> Any:
    """Return the model of a file."""
    import keras

    return keras.models.load_model(file)


def predicted(net: Any, fitted: Scaling, first: Part, others: Iterator[Part], file: Path) -> dict[str, Any]:
    """Write each row's number, class and probability of each class, and return how many there are and were right.

    A row whose class is missing, or none of the model's, counts as neither right nor wrong.
    """
    matrix = np.zeros((len(fitted.classes), len(fitted.classes)), int)
    rows = outside = 0
    strange: Counter[str] = Counter()
    with file.open("w", encoding="utf-8", newline="") as text:
        output = csv.writer(text)
        output.writerow(["row", fitted.target, *(f"probability of {each}" for each in fitted.classes)])
        for part in chain([first], others):
            strange.update(part.strange)
            outside += int(((part.x < -TOLERANCE) | (part.x > 1 + TOLERANCE)).any(axis=1).sum())
            for start in range(0, len(part.x), SAMPLES):
                probabilities = as_numpy(net(part.x[start : start + SAMPLES], training=False))
                best = probabilities.argmax(axis=1)
                for number, (label, row) in enumerate(zip(best, probabilities.tolist(), strict=True), rows + 1):
                    output.writerow([number, fitted.classes[label], *(f"{each:.6g}" for each in row)])
                rows += len(best)
                if part.y is not None:
                    true = part.y[start : start + SAMPLES]
                    np.add.at(matrix, (true[true >= 0], best[true >= 0]), 1)
    judged = int(matrix.sum())
    accuracy = float(np.trace(matrix) / judged) if judged else None
    return {
        "rows": rows,
        "judged": judged,
        "accuracy": accuracy,
        "confusion_matrix": matrix.tolist() if judged else None,
        "outside": outside,
        "strange": {name: count for name, count in strange.most_common(SHOWN) if name != "None"},
    }


if __name__ == "__main__":
    sys.exit(main())
