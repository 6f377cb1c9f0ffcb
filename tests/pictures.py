"""Draws the README's pictures from real output: the diagnosis of a captured machine, and a run made for it."""

import io
from pathlib import Path

from rich.console import Console, RenderableType

from toolkit import doctor, workloads
from toolkit.show import doctor as doctor_view
from toolkit.show import run as run_view

ROOT = Path(__file__).parent.parent


def draw(name: str, title: str, *parts: RenderableType) -> None:
    console = Console(record=True, width=104, file=io.StringIO(), force_terminal=True, highlight=False)
    for part in parts:
        console.print(part)
    console.save_svg(str(ROOT / ".pictures" / f"{name}.svg"), title=title)


def main() -> None:
    machine = ROOT / "tests/hosts/library-mismatch.json"
    draw("doctor", "kit doctor", doctor_view.diagnosis(doctor.examine(replay=machine), verbose=False))
    work = workloads.workload("side_effects")
    shown: list[RenderableType] = []
    record = workloads.start(
        work, workloads.Options(), "auto", None, lambda event: shown.extend(_lines(event)), lambda _: None
    )
    draw("run", "kit run workload", *shown, run_view.ran(record, work.best_accuracy))


def _lines(event: dict[str, object]) -> list[RenderableType]:
    if event["event"] == "gpus":
        return [f"Num GPUs Available:  {event['tensorflow']}"]
    return [str(event["text"])] if event["event"] == "summary" else []


if __name__ == "__main__":
    main()
