"""The report of a run: one HTML file that needs nothing else, made of its record and its events."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from toolkit import paths
from toolkit.model import Command, Finding
from toolkit.runs import folders, training
from toolkit.runs.folders import Event, Run
from toolkit.show import charts

TEMPLATE = Path(__file__).with_name("report.html")
LEVELS = {"succeeded": "good", "failed": "poor"}  # other statuses are fair
HINTS = {"interrupted": "stopped before its end", "unfinished": "kit was killed before it wrote the record"}


def html(folder: Path, best_accuracy: float | None = None) -> str:
    """Return the report of a run folder, finished or not; what its events do not tell of is left out."""
    run, events = folders.read(folder), folders.events(folder)
    sections: tuple[Callable[[], str], ...] = (
        lambda: _head(run, events, best_accuracy),
        lambda: _findings(run),
        lambda: _curve("Loss", "loss", events, None),
        lambda: _curve("Accuracy", "accuracy", events, best_accuracy),
        lambda: _confusion(run, events),
        lambda: _decision(events),
        lambda: _histogram(events),
        lambda: _timings(run, events),
        lambda: _chain(run, events),
        lambda: _gpu_use(events),
        lambda: _table("Options", run.record.options),
        lambda: _table("Data", _told(events, "data")),
        lambda: _table("Versions", {**run.record.versions, "image": run.record.image}),
        lambda: _model(events),
        lambda: _repeat(run, events),
    )
    body = "\n".join(filter(None, map(_drawn, sections)))
    title = escape(f"{run.record.workload} {run.record.run_id}")
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(title=title, body=body)


def write(folder: Path, best_accuracy: float | None = None) -> Path:
    """Write the report of a run into its folder, as the caller's, and return the file."""
    text, file = html(folder, best_accuracy), folder / "report.html"
    file.unlink(missing_ok=True)
    with file.open("x", encoding="utf-8") as report:  # never through a link that the workload left there
        report.write(text)
    paths.give_to_caller(file)
    return file


def _drawn(section: Callable[[], str]) -> str:
    """Return a section; what a workload of somebody's told in another shape costs that section alone."""
    try:
        return section()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        said = f"What the workload told has another shape than kit knows: {error!r}"
        return _section("not-drawn", "Not drawn", f'<p class="dim">{escape(said)}</p>')


def _section(name: str, title: str, inside: str, *, wide: bool = False) -> str:
    return f'<section id="{name}"{" class=wide" if wide else ""}><h2>{escape(title)}</h2>{inside}</section>'


def _head(run: Run, events: list[Event], best: float | None) -> str:
    record, results = run.record, run.record.results
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.began))
    where = f"in {record.image}" if record.image else "without a container" if record.engine == "local" else ""
    numbers = [
        ("validation accuracy", results.get("val_accuracy"), "{:.3f}"),
        ("validation loss", results.get("val_loss"), "{:.3f}"),
        ("epochs", results.get("epochs") or len(training.epochs(events)) or None, "{:,}"),
        ("steps a second", results.get("steps_per_second"), "{:,.0f}"),
        ("seconds in all", record.seconds.get("total"), "{:.1f}"),
    ]
    shown = "".join(
        f"<span><b>{form.format(value)}</b>{name}</span>" for name, value, form in numbers if value is not None
    )
    trained = f"trained on {record.device}" if record.device else ""
    told = ", ".join(filter(None, (record.run_id, f"began {began}", f"{trained} {where}".strip())))
    status = f'<span class="status {LEVELS.get(run.status, "fair")}">{escape(run.status)}</span>'
    lines = [f'<h1>{escape(record.workload)} {status}</h1><p class="dim">{escape(told)}</p>']
    lines += [f'<div class="numbers">{shown}</div>'] if shown else []
    if judged := training.verdict(record, training.epochs(events), best, training.classes(events, 0)):
        lines.append(f'<p class="{judged.level}" id="verdict">{escape(judged.text[0].upper() + judged.text[1:])}.</p>')
    if hint := HINTS.get(run.status):
        lines.append(f'<p class="fair">{run.status.capitalize()}: {hint}.</p>')
    lines += [f"<p>Note: {escape(note)}</p>" for note in record.notes]
    return f"<header>{''.join(lines)}</header>"


def _findings(run: Run) -> str:
    found = "".join(map(_finding, run.record.findings))
    return _section("findings", "What went wrong", found, wide=True) if found else ""


def _finding(found: Finding) -> str:
    level = {"error": "poor", "warning": "fair"}.get(found.severity, "dim")
    steps = "".join(
        f"<pre>{escape(step.command)}</pre>" if isinstance(step, Command) else f"<p>Do: {escape(step.sentence)}</p>"
        for step in found.fix
    )
    seen = "".join(f'<p class="dim">{escape(each.what)} ({escape(each.where)})</p>' for each in found.evidence)
    head = f"<p><b>{escape(found.title)}</b> ({escape(found.id)})</p><p>{escape(found.cause)}</p>"
    return f'<div class="finding {level}">{head}{steps}{seen}</div>'


def _curve(title: str, metric: str, events: list[Event], best: float | None) -> str:
    rows = training.epochs(events)
    named = ((metric, "training", "training"), (f"val_{metric}", "validation", "validation"))
    drawn = [
        charts.Line(label, kind, tuple((row["epoch"], row[name]) for row in rows if row.get(name) is not None))
        for name, label, kind in named
    ]
    drawn = [line for line in drawn if line.points]
    if not drawn:
        return ""
    values = [value for line in drawn for _, value in line.points]
    y = charts.axis(metric, [*values, *([best] if best else [])])
    x = charts.axis("epoch", [row["epoch"] for row in rows], whole=True)
    level = (best, f"best possible {best:g}") if best else None
    return _section(metric, title, charts.lines(f"{metric} by epoch", x, y, drawn, level))


def _confusion(run: Run, events: list[Event]) -> str:
    matrix: list[list[int]] | None = run.record.results.get("confusion_matrix")
    if not matrix:
        return ""
    names = [escape(str(name)) for name in training.classes(events, len(matrix))]
    note = f'<p class="dim">{sum(map(sum, matrix))} validation samples, by true class</p>'
    if len(names) > training.SHOWN_CLASSES:
        most = [
            f"<tr><th>{names[true]}</th><td>{names[said]}</td><td>{n}</td></tr>"
            for true, said, n in training.confused(matrix)
        ]
        table = f"<table><tr><th>is</th><th>said</th><th>times</th></tr>{''.join(most)}</table>"
        return _section("confusion", "Confused most often", table + note)
    head = "".join(f"<th>said {name}</th>" for name in names)
    rows = []
    for label, row in enumerate(matrix):
        cells = "".join(
            f'<td class="{"hit" if label == column else "miss"}" style="--share:{_share(count, row):.3f}">{count}'
            f"<span>{_share(count, row):.0%}</span></td>"
            for column, count in enumerate(row)
        )
        rows.append(f"<tr><th>is {names[label]}</th>{cells}</tr>")
    table = f'<table class="matrix"><tr><th></th>{head}</tr>{"".join(rows)}</table>'
    return _section("confusion", "Confusion matrix", table + note)


def _share(count: int, row: Iterable[int]) -> float:
    return count / (sum(row) or 1)


def _decision(events: list[Event]) -> str:
    event = training.last(events, "decision")
    if event is None:
        return ""
    feature, name = str(event["feature"]), "probability of class 1"
    line = charts.Line(name, "training", tuple(zip(event["values"], event["probabilities"], strict=True)))
    x, y = charts.axis(feature, event["values"]), charts.Axis("probability", 0, 1)
    cuts = training.crossings(event)
    chart = charts.lines(f"{name} by {feature}", x, y, [line], (0.5, "even"), cuts)
    if len(cuts) == 1:
        side = "from" if event["probabilities"][-1] > 0.5 else "up to"
        chart += f"<p>Class 1 is the likelier one {side} {escape(feature)} {cuts[0]:.1f}.</p>"
    return _section("decision", f"Decision boundary over {feature}", chart)


def _histogram(events: list[Event]) -> str:
    event = training.last(events, "histogram")
    if event is None:
        return ""
    feature = str(event["feature"])
    chart = charts.histogram(f"samples by {feature}", feature, event["edges"], event["counts"])
    return _section("histogram", f"Data: samples by {feature}", chart)


def _timings(run: Run, events: list[Event]) -> str:
    """Return the phases on the run's time, so that those which overlap are seen to; of a resumed run its last part."""
    start, asked = run.record.seconds.get("start"), training.last(events, "asked")
    phases = [
        (event["phase"], event["time"] - event["seconds"], event["seconds"])
        for event in events
        if event["event"] == "phase" and (asked is None or event["time"] >= asked["time"])
    ]
    if not phases:
        return ""
    started = training.last(events, "started") or {"time": phases[0][1]}
    zero = asked["time"] if asked else started["time"] - (start or 0)
    if start:
        phases.insert(0, ("container" if run.record.engine == "docker" else "process", zero, start))
    whole = run.record.seconds.get("total") or max(begin + length - zero for _, begin, length in phases)
    rows = []
    for name in dict.fromkeys(name for name, _, _ in phases):
        spans = [(begin, length) for each, begin, length in phases if each == name]
        bars = "".join(_bar((begin - zero) / whole, length / whole) for begin, length in spans)
        seconds = sum(length for _, length in spans)
        rows.append(f'<span>{escape(name)}</span><span class="track">{bars}</span><span>{seconds:.2f} s</span>')
    note = f'<p class="dim">{whole:.2f} s in all</p>'
    return _section("timings", "Where the time went", f'<div class="spans">{"".join(rows)}</div>{note}')


def _bar(begin: float, length: float) -> str:
    return f'<i style="--from:{begin:.2%};--length:{length:.2%}"></i>'


def _chain(run: Run, events: list[Event]) -> str:
    counted = [(rung, count) for rung, count in run.record.gpus.items() if count is not None]
    if not counted:
        return ""
    rungs = " → ".join(f"<span><b>{escape(str(count))}</b>{escape(rung)}</span>" for rung, count in counted)
    told = _told(events, "gpus")
    names = "".join(f"<p>{escape(str(name))}</p>" for name in told.get("names") or ())
    why = f'<p class="dim">{escape(str(told["container_error"]))}</p>' if told.get("container_error") else ""
    return _section("chain", "GPUs on every rung", f'<div class="chain">{rungs}</div>{names}{why}')


def _gpu_use(events: list[Event]) -> str:
    """Return memory and utilization of each GPU by second, from `gpu-use` events."""
    uses = [event for event in events if event["event"] == "gpu-use"]
    if not uses:
        return ""
    zero = events[0]["time"]
    x = charts.axis("seconds", [event["time"] - zero for event in uses])
    measured = (("memory in GB", "memory_bytes", 1e9, None), ("utilization in %", "utilization", 0.01, 100))
    parts = []
    for title, name, unit, high in measured:
        points: dict[int, list[charts.Point]] = {}
        for event in uses:
            for gpu in event["gpus"]:
                if gpu.get(name) is not None:
                    points.setdefault(int(gpu["index"]), []).append((event["time"] - zero, gpu[name] / unit))
        drawn = [charts.Line(f"GPU {index}", charts.series(index), tuple(each)) for index, each in points.items()]
        y = charts.axis(title, [value for line in drawn for _, value in line.points], low=0, high=high)
        parts += [f"<p>{title}</p>{charts.lines(title, x, y, drawn)}"] if drawn else []
    return _section("gpu-use", "Use of the GPUs", "".join(parts)) if parts else ""


def _told(events: list[Event], name: str) -> dict[str, Any]:
    return {key: value for key, value in (training.last(events, name) or {}).items() if key not in ("event", "time")}


def _table(title: str, rows: dict[str, Any]) -> str:
    known = {name: value for name, value in rows.items() if value is not None}
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in known.items())
    return _section(title.lower(), title, f"<table>{cells}</table>") if known else ""


def _model(events: list[Event]) -> str:
    event = training.last(events, "summary")
    return _section("model", "Model", f"<pre>{escape(event['text'])}</pre>", wide=True) if event else ""


def _repeat(run: Run, events: list[Event]) -> str:
    which = run.folder.name if run.folder.parent == paths.runs() else str(run.folder)
    asked = training.last(events, "asked")  # no script of somebody's own was
    command = f"<pre>{escape(shlex.join(['kit', 'run', 'workload', '--repeat', which]))}</pre>" if asked else ""
    files = sorted({file.name for file in run.folder.iterdir() if not file.name.startswith(".")} - {"report.html"})
    beside = f'<p class="dim">Beside this report in {escape(str(run.folder))}: {escape(", ".join(files))}</p>'
    return _section("repeat", "Repeat this run" if asked else "Files", command + beside, wide=True)
