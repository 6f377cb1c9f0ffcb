"""The picture of a training: loss and accuracy by epoch."""

from __future__ import annotations

from pathlib import Path

from toolkit.workloads.outcome import Event


def plot(events: list[Event], file: Path) -> None:
    """Write loss and accuracy by epoch as a picture."""
    from matplotlib.figure import Figure

    epochs = [event for event in events if event["event"] == "epoch"]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for name, label in ((metric, "training"), (f"val_{metric}", "validation")):
            axes.plot([event["epoch"] for event in epochs], [event.get(name) for event in epochs], label=label)
        axes.set(title=metric, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(file, dpi=120)
