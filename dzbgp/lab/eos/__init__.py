"""Simulated EOS devices that answer eAPI over HTTP(S).

Start with `fleet.py`, which has their behavior (`device.py` is the record). `answers.py` has the forms of answers.
"""
