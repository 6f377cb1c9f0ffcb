"""How a training went, from its events: metrics by epoch, a verdict, the decision boundary, the use of GPUs."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from toolkit.model import RunRecord
from toolkit.runs.folders import Event

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
_NO_METRICS = ("event", "time", "epoch", "epochs")
SHOWN_CLASSES = 20  # of more a confusion matrix is no longer read
DEVIATIONS = 1.96  # 19 of 20 samples of a normal distribution lie within


@dataclass(frozen=True, slots=True)
class Verdict:
    """How good a training's result is, in words."""

    level: Literal["good", "fair", "poor"]
    text: str


def epochs(events: list[Event]) -> list[Event]:
    """Return the last event of each epoch, in order: a resumed run tells some twice."""
    told = [event for event in events if event["event"] == "epoch"]
    latest = {event["epoch"]: event for event in told if isinstance(event.get("epoch"), int) and event["epoch"] >= 0}
    return [latest[number] for number in sorted(latest)]


def last(events: list[Event], name: str) -> Event | None:
    """Return the newest event of a name."""
    return next((event for event in reversed(events) if event["event"] == name), None)


def classes(events: list[Event], count: int) -> tuple[int | str, ...]:
    """Return the names of a run's classes: those of the user's table, else their numbers."""
    return tuple((last(events, "data") or {}).get("classes", range(count)))


def metrics_csv(events: list[Event]) -> str:
    """Return metrics by epoch as CSV: the columns of Keras' fit, then others; numbers that float() reads back exactly.

    Sample: 'epoch,loss,accuracy,val_loss,val_accuracy\\n1,0.6931,0.5095,0.6824,0.619\\n'
    """
    rows = epochs(events)
    others = sorted({name for row in rows for name in row} - {*COLUMNS, *_NO_METRICS})
    text = io.StringIO()
    table = csv.DictWriter(text, [*COLUMNS, *others], restval="", extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def confused(matrix: list[list[int]], most: int = 10) -> list[tuple[int, int, int]]:
    """Return what was taken for what most often: true class, predicted class, times."""
    wrong = [(i, j, count) for i, row in enumerate(matrix) for j, count in enumerate(row) if i != j and count]
    return sorted(wrong, key=lambda each: -each[2])[:most]


def crossings(decision: Event) -> list[float]:
    """Return where the probability of a decision event crosses a half, between its values by a straight line."""
    points = zip(decision["values"], decision["probabilities"], strict=True)
    return [
        x + (0.5 - p) / (q - p) * (y - x) for (x, p), (y, q) in itertools.pairwise(points) if (p < 0.5) != (q < 0.5)
    ]


def verdict(
    record: RunRecord, rows: list[Event], best_accuracy: float | None, names: Sequence[int | str] = ()
) -> Verdict | None:
    """Return how the validation accuracy stands to the best possible on this data; None where nothing can be said.

    What n samples cannot tell from the best is as good as it: DEVIATIONS standard errors of the best, sqrt(p(1-p)/n).
    `names` are those of the classes, where they have any.
    """
    accuracy, matrix = record.results.get("val_accuracy"), record.results.get("confusion_matrix")
    told = (record.results, *rows[-1:])  # in result.json what is not a number is null
    if any(not math.isfinite(each.get(name) or 0) for each in told for name in ("loss", "val_loss")):
        return Verdict("poor", "the loss is not a number: training diverged")
    if accuracy is None or not matrix or not (samples := sum(map(sum, matrix))):
        return None
    commonest = max(range(len(matrix)), key=lambda label: sum(matrix[label]))
    share = sum(matrix[commonest]) / samples
    if accuracy <= share:
        return Verdict(
            "poor",
            f"no better than to answer {names[commonest] if names else commonest} always ({share:.3f}){_trend(rows)}",
        )
    if best_accuracy is None:
        return None
    error = DEVIATIONS * math.sqrt(best_accuracy * (1 - best_accuracy) / samples)
    if accuracy >= best_accuracy - error:
        return Verdict(
            "good",
            f"as good as this data allows: {best_accuracy} at best, which {samples} samples tell to ±{error:.3f}",
        )
    return Verdict("fair", f"{best_accuracy} is possible on this data{_trend(rows)}")


def _trend(rows: list[Event]) -> str:
    """Return what the validation loss says of more epochs; nothing where there are too few to say it."""
    losses = {row["epoch"]: row["val_loss"] for row in rows if "val_loss" in row}
    if len(losses) < 3:
        return ""
    lowest = min(losses, key=lambda epoch: losses[epoch])
    if lowest == max(losses):
        return "; the validation loss still falls, so train longer (--epochs)"
    return f"; the validation loss is lowest at epoch {lowest}, more epochs do not help"
