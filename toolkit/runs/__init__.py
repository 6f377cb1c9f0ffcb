"""Runs that were made: found by id, read, compared, removed.

A run folder is `$XDG_DATA_HOME/kit/runs/<run id>/` (or below --out), its id is `YYYYMMDD-HHMMSS-<workload>-<4 hex>`:

- result.json: the record, schema kit.run/1, written whole at the end; a run without one was killed, or goes on
- events.jsonl: what the workload told, one JSON object a line with "event" and "time", as it came
- log.txt: everything else that it printed
- metrics.csv: epoch, loss, accuracy, val_loss, val_accuracy and other metrics; float() reads back the exact numbers
- report.html: the page made of these; `kit runs open` makes a missing one again
- events.out.tfevents.kit: the same metrics for TensorBoard
- model.keras: the model; a workload may save more, and those packaged do:
- checkpoint.npz: model, optimizer and metrics after an epoch, which --resume goes on from
- samples.npy, labels.npy, scaler.json: the data shuffled and scaled, those held out at the end, and how it was scaled
- predictions.csv: what `kit run predict` said of new samples, where it was not told another file

On another backend of Keras "gpus" of the record has its count too: {"host", "container", "tensorflow": null, "jax"}.

Files may be added; these keep their names and meaning. A folder may be moved: what is in it does not need its place.
"""
