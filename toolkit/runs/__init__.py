"""Runs that were made: found by id, read, compared, removed.

A run folder is `$XDG_DATA_HOME/kit/runs/<run id>/` (or below --out), its id is `YYYYMMDD-HHMMSS-<workload>-<4 hex>`:

- result.json: the record, schema kit.run/1, written whole at the end; a run without one was killed, or goes on
- events.jsonl: what the workload told, one JSON object a line with "event" and "time", as it came
- log.txt: everything else that it printed
- metrics.csv: epoch, loss, accuracy, val_loss, val_accuracy and other metrics; float() reads back the exact numbers
- report.html: the page made of these; `kit runs open` makes a missing one again
- model.keras and what else the workload saves

Files may be added; these keep their names and meaning. A folder may be moved: what is in it does not need its place.
"""
