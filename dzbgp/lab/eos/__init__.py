"""Simulated EOS devices that answer eAPI over HTTP(S).

Start with `fleet.py`; `answers.py` has the forms of EOS's answers.
"""
