"""Workloads: what a packaged one is, how a run of it is planned, executed and recorded."""
