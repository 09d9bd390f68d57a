"""A pass from its request to its report, once or every interval.

Start with `job.py`, which tells one pass on a screen; `once.py` and `watch.py` run it.
"""
