"""Prometheus metrics: over HTTP for a watch, in a file for node_exporter for a run that cron starts.

Start reading at registry.py; gauges.py is the state after the last pass.
"""
