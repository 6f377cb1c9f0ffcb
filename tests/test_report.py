"""report.html: what of a run is in it, that nothing in it is anybody's code, and how it looks in a real browser."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests import browser
from tests.test_cli import KIT
from toolkit import paths
from toolkit.runs import folders
from toolkit.show import charts, report

RECORDED = Path(__file__).parent / "runs"
WELL = RECORDED / "20261124-181949-side_effects-e9a0"
FAILED = RECORDED / "20261124-182329-side_effects-2ac2"
KILLED = RECORDED / "20261124-182342-side_effects-0b39"
BEST = 0.952
CURVES = ["loss", "accuracy"]
MACHINE = ["timings", "chain", "versions", "model", "repeat"]
USE = [
    {"event": "gpu-use", "time": 1795544393 + second, "gpus": [{"index": 0, "memory_bytes": 3e9, "utilization": busy}]}
    for second, busy in enumerate((0.1, 0.9, 0.95))
]


class Elements(HTMLParser):
    """The elements of a page: tags with their attributes, ids of sections, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def sections(self) -> list[str | None]:
        return [attributes["id"] for tag, attributes in self.tags if tag == "section"]


def written(folder: Path, run: Path, *more: dict[str, Any], **changes: Any) -> Path:
    """Return a copy of a recorded run with more events, and other fields in its record."""
    copy = folder / run.name
    shutil.copytree(run, copy)
    with (copy / "events.jsonl").open("a", encoding="utf-8") as events:
        events.writelines(json.dumps(event) + "\n" for event in more)
    if (copy / "result.json").exists():
        record = json.loads((copy / "result.json").read_text())
        (copy / "result.json").write_text(json.dumps({**record, **changes}))
    return copy


@pytest.mark.parametrize(
    ("run", "more", "sections"),
    [
        (WELL, [], [*CURVES, "confusion", "decision", "histogram", *MACHINE]),
        (FAILED, [], ["findings", *CURVES, *MACHINE]),
        (KILLED, [], [*CURVES, *MACHINE]),
        (KILLED, USE, [*CURVES, "timings", "chain", "gpu-use", "versions", "model", "repeat"]),
    ],
)
def test_sections_are_those_that_the_run_tells_of(
    tmp_path: Path, run: Path, more: list[dict[str, Any]], sections: list[str]
) -> None:
    page = Elements(report.html(written(tmp_path, run, *more), BEST))
    assert page.sections == sections
    assert page.open == []


ASKED = {"event": "asked", "time": 2e9, "workload": "side_effects", "options": {}}


def test_the_report_says_what_the_record_does(tmp_path: Path) -> None:
    text = Elements(report.html(WELL, BEST)).text
    assert "As good as this data allows: 0.952 at best" in text
    assert "Class 1 is the likelier one from age 62.7." in text
    assert "210 validation samples" in text
    run = written(tmp_path, WELL, ASKED)
    assert f"kit run workload --repeat {run}" in Elements(report.html(run, BEST)).text
    assert re.search(r"train\s*16\.53 s", text)


def test_a_phase_that_comes_twice_is_one_row_with_both_its_bars(tmp_path: Path) -> None:
    phases = [
        {"event": "phase", "phase": name, "time": 2e9 + end, "seconds": seconds}
        for name, end, seconds in (("compile", 1.0, 0.5), ("train", 4.0, 1.0), ("compile", 4.0, 2.0))
    ]
    page = report.html(written(tmp_path, WELL, ASKED, *phases), BEST)
    section = re.search(r'<section id="timings".*?</section>', page)
    assert section
    rows = re.findall(r"<span>([^<]*)</span><span class=\"track\">(.*?)</span><span>([^<]*)</span>", section[0])
    assert [(name, bars.count("<i "), seconds) for name, bars, seconds in rows][-2:] == [
        ("compile", 2, "2.50 s"),
        ("train", 1, "1.00 s"),
    ]


def test_a_run_of_kits_own_folder_is_repeated_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    run = written(paths.runs(), WELL, ASKED)
    (command,) = re.findall("kit (run workload --repeat [^<]*)<", report.html(run))
    assert command == f"run workload --repeat {WELL.name}"
    done = subprocess.run(
        [KIT, *command.split(), "--engine", "docker"],
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, "what the report says is taken, and only the engine is not there"
    assert report.html(run) == report.write(run).read_text() == report.html(run)


HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror='alert(2)'>\" onload=\"alert(3)"


def test_whatever_a_workload_says_is_text(tmp_path: Path) -> None:
    record = json.loads((FAILED / "result.json").read_text())
    finding = {
        **record["findings"][0],
        "id": HOSTILE,
        "title": HOSTILE,
        "cause": HOSTILE,
        "fix": [{"command": HOSTILE}],
    }
    run = written(
        tmp_path,
        FAILED,
        {"event": "decision", "time": 1, "feature": HOSTILE, "values": [1, 2], "probabilities": [0, 1]},
        {"event": "histogram", "time": 1, "feature": HOSTILE, "edges": [1, 2], "counts": {HOSTILE: [1]}},
        {"event": "summary", "time": 1, "text": HOSTILE},
        {"event": "data", "time": 1, HOSTILE: HOSTILE},
        {"event": "phase", "time": 1795544614, "phase": HOSTILE, "seconds": 1},
        {"event": "gpus", "time": 1, "names": [HOSTILE], "container_error": HOSTILE},
        {"event": "gpu-use", "time": 1, "gpus": [{"index": HOSTILE, "memory_bytes": 1}]},
        workload=HOSTILE,
        status=HOSTILE,
        device=HOSTILE,
        image=HOSTILE,
        gpus={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        results={"confusion_matrix": [[HOSTILE]]},
        notes=[HOSTILE],
        findings=[finding],
    )
    page = Elements(report.html(run, BEST))
    assert page.open == []
    assert {"script", "img"} & {tag for tag, _ in page.tags} == set()
    assert [each for _, attributes in page.tags for each in attributes if each.startswith("on")] == []
    assert page.text.count("alert(1)") >= 12


def test_the_page_asks_for_nothing_outside_itself() -> None:
    page = Elements(report.html(WELL, BEST))
    assert {"src", "href", "srcset", "action"} & {name for _, attributes in page.tags for name in attributes} == set()
    assert "url(" not in report.TEMPLATE.read_text()
    assert "@import" not in report.TEMPLATE.read_text()


@pytest.mark.parametrize(
    "event",
    [
        {"event": "decision", "time": 1, "feature": "age", "values": [1]},
        {"event": "histogram", "time": 1, "feature": "age", "edges": [], "counts": {"0": [1]}},
        {"event": "phase", "time": 1795544614, "phase": "train"},
        {"event": "summary", "time": 1, "text": None},
        {"event": "gpu-use", "time": 1, "gpus": [{"memory_bytes": 1}]},
    ],
    ids=lambda event: str(event["event"]),
)
def test_an_event_of_another_shape_costs_its_own_section_alone(tmp_path: Path, event: dict[str, Any]) -> None:
    whole = Elements(report.html(WELL)).sections
    there = Elements(report.html(written(tmp_path, WELL, event))).sections
    assert "not-drawn" in there
    assert len([each for each in whole if each not in there]) <= 1


@pytest.mark.parametrize(
    "losses", [[0.5], [1.0, float("nan"), 0.5], [float("nan")] * 3, [float("inf"), 1.0], [2.0, 2.0], [1e-9, 1e9]]
)
def test_any_loss_is_drawn(tmp_path: Path, losses: list[float]) -> None:
    epochs = [{"event": "epoch", "time": 1, "epoch": number + 1, "loss": loss} for number, loss in enumerate(losses)]
    run = written(tmp_path, KILLED)
    (run / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in epochs))
    page = report.html(run)
    assert 'id="loss"' in page
    assert not re.search(r'"[^"]*(nan|inf)[^"]*"', page)


def test_a_long_training_stays_a_small_file(tmp_path: Path) -> None:
    epochs = [
        {"event": "epoch", "time": 1, "epoch": number, "loss": 1 / number, "val_loss": 2 / number}
        for number in range(1, 20_001)
    ]
    assert len(report.html(written(tmp_path, WELL, *epochs))) < 100_000


def test_the_report_is_not_written_through_a_link(tmp_path: Path) -> None:
    run, mine = written(tmp_path, WELL), tmp_path / "mine"
    mine.write_text("mine")
    (run / "report.html").symlink_to(mine)
    assert not report.write(run).is_symlink()
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (charts.Axis("", 0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (charts.Axis("", 13, 101), [20, 40, 60, 80, 100]),
        (charts.Axis("", 1, 4), [1, 1.5, 2, 2.5, 3, 3.5, 4]),
        (charts.Axis("", 1, 4, whole=True), [1, 2, 3, 4]),
        (charts.Axis("", 0.27162, 0.69), [0.3, 0.4, 0.5, 0.6]),
    ],
)
def test_ticks_are_round(axis: charts.Axis, ticks: list[float]) -> None:
    assert charts.ticks(axis) == ticks


# --- in a browser ----------------------------------------------------------------------------------------------------

MEASURE = """
const box = element => { const r = element.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; };
onload = () => {
  const seen = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, all = name => [...page.querySelectorAll(name)];
    const style = element => frame.contentWindow.getComputedStyle(element);
    return {
      width: frame.contentWindow.innerWidth, needs: page.documentElement.scrollWidth,
      sections: Object.fromEntries(all("section").map(each => [each.id, box(each)])),
      charts: Object.fromEntries(all("section:has(svg)").map(each => [each.id, box(each.querySelector("svg"))])),
      lines: all("polyline").map(each => [...box(each), style(each).stroke]),
      bars: all("rect").map(box), cells: all(".matrix td").map(box), spans: all(".track i").map(box),
      text: Math.min(...all("svg text").map(each => box(each)[3])),
      colours: [style(page.body).backgroundColor, style(page.body).color],
      fetched: frame.contentWindow.performance.getEntriesByType("resource").length,
    };
  });
  document.getElementById("seen").textContent = JSON.stringify(seen);
};
"""


@pytest.fixture(scope="session")
def chromium() -> str:
    """Give the browser; skip, or fail where KIT_REQUIRE_ENGINE=1, with how to get it."""
    program = browser.chromium()
    if program is None and os.environ.get("KIT_REQUIRE_ENGINE") == "1":
        pytest.fail(f"KIT_REQUIRE_ENGINE=1: {browser.HOW}")
    if program is None:
        pytest.skip(browser.HOW)
    return program


def seen(program: str, page: Path, folder: Path, widths: list[int], *flags: str) -> list[dict[str, Any]]:
    """Return what a browser makes of a page at widths: it looks from outside, since the page allows no script."""
    frames = "".join(
        f'<iframe srcdoc="{html.escape(page.read_text())}" style="width:{width}px;height:4000px;border:0"></iframe>'
        for width in widths
    )
    around = folder / "around.html"
    around.write_text(f'<meta charset="utf-8"><pre id="seen"></pre>{frames}<script>{MEASURE}</script>')
    dom = browser.opened(program, around, folder / "profile", *flags)
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)
    assert found
    measured: list[dict[str, Any]] = json.loads(html.unescape(found[1]))
    return measured


def test_everything_is_drawn_on_a_desk_and_on_a_phone(chromium: str, tmp_path: Path) -> None:
    page = report.write(written(tmp_path, WELL, *USE), BEST)
    for view, width in zip(seen(chromium, page, tmp_path, [1120, 768, 360]), (1120, 768, 360), strict=True):
        assert (view["width"], view["needs"]) == (width, width)  # nothing is to be scrolled sideways
        assert set(view["charts"]) == {"loss", "accuracy", "decision", "histogram", "gpu-use"}
        assert min(size for box in view["sections"].values() for size in box[2:]) > 60
        assert min(box[2] for box in view["charts"].values()) > 280
        assert len(view["lines"]) == 2 + 2 + 1 + 2
        assert min(line[2] for line in view["lines"]) > 20
        assert len({line[4] for line in view["lines"]} - {"none"}) == 2
        assert (len(view["cells"]), len(view["bars"])) == (4, 44)
        assert min(size for box in view["cells"] for size in box[2:]) > 40
        assert len(view["spans"]) == 6
        assert min(box[2] for box in view["spans"]) >= 2
        assert view["text"] > 9
        assert view["fetched"] == 0
        for name, (left, top, wide, high) in view["charts"].items():
            box = view["sections"][name]
            assert box[0] <= left
            assert left + wide <= box[0] + box[2]
            assert box[1] <= top
            assert top + high <= box[1] + box[3], name


def brightness(colour: str) -> float:
    return sum(map(float, re.findall(r"\d+", colour)[:3])) / 3


def test_a_dark_desk_has_a_dark_page(chromium: str, tmp_path: Path) -> None:
    page = report.write(written(tmp_path, WELL), BEST)
    for scheme, is_dark in (("0", True), ("1", False)):
        (view,) = seen(chromium, page, tmp_path, [1120], f"--blink-settings=preferredColorScheme={scheme}")
        paper, ink = map(brightness, view["colours"])
        assert (paper < ink) == is_dark
        assert abs(paper - ink) > 150


def test_screenshot_and_print(chromium: str, tmp_path: Path) -> None:
    page = report.write(written(tmp_path, WELL), BEST)
    picture, paper = tmp_path / "report.png", tmp_path / "report.pdf"
    browser.opened(
        chromium, page, tmp_path / "profile", f"--screenshot={picture}", f"--print-to-pdf={paper}", size=(1120, 1900)
    )
    head = picture.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")) == (1120, 1900)
    assert picture.stat().st_size > 50_000  # an empty page of this size has 10 kB
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) <= 3


def test_the_report_of_a_failed_run_shows_its_finding(chromium: str, tmp_path: Path) -> None:
    page = report.write(written(tmp_path, FAILED), BEST)
    (view,) = seen(chromium, page, tmp_path, [360])
    assert view["sections"]["findings"][3] > 100
    assert view["needs"] == 360
    assert folders.read(page.parent).status == "failed"
