"""Draws the README's pictures from real output: the diagnosis of a captured machine, and a run made for it."""

import io
import tempfile
from pathlib import Path

from rich.console import Console, RenderableType

from tests import browser
from toolkit import doctor
from toolkit.runs import folders
from toolkit.show import doctor as doctor_view
from toolkit.show import report
from toolkit.show import run as run_view
from toolkit.workloads import packaged
from toolkit.workloads.plan import Options
from toolkit.workloads.start import start

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / ".pictures"


def draw(name: str, title: str, *parts: RenderableType) -> None:
    console = Console(record=True, width=104, file=io.StringIO(), force_terminal=True, highlight=False)
    for part in parts:
        console.print(part)
    console.save_svg(str(PICTURES / f"{name}.svg"), title=title)


def photograph(page: Path, picture: Path) -> None:
    """Write what a browser shows of the upper part of a page."""
    program = browser.chromium()
    if program is None:
        raise SystemExit(browser.HOW)
    with tempfile.TemporaryDirectory() as profile:
        browser.opened(program, page, Path(profile), f"--screenshot={picture}", size=(1000, 1340))


def main() -> None:
    machine = ROOT / "tests/hosts/library-mismatch.json"
    draw("doctor", "kit doctor", doctor_view.diagnosis(doctor.examine(replay=machine), verbose=False))
    work = packaged.workload("side_effects")
    shown: list[RenderableType] = []
    record = start(work, Options(), "auto", None, lambda event: shown.extend(_lines(event)), lambda _: None)
    folder = Path(record.artifacts["result.json"]).parent
    draw("run", "kit run workload", *shown, run_view.ran(record, work.best_accuracy, folders.events(folder)))
    photograph(report.write(folder, work.best_accuracy), PICTURES / "report.png")


def _lines(event: dict[str, object]) -> list[RenderableType]:
    if event["event"] == "gpus":
        return [f"Num GPUs Available:  {event['tensorflow']}"]
    return [str(event["text"])] if event["event"] == "summary" else []


if __name__ == "__main__":
    main()
