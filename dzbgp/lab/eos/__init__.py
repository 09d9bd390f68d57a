"""Simulated EOS devices that answer eAPI over HTTP(S).

Start with `fleet.py`, which changes them. `device.py` is the record, `served.py` answers requests, `answers.py` has the
forms of answers.
"""
