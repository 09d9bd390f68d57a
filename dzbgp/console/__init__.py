"""What people and scripts see: tables, formats, words, logs, and how options are declared.

Start with `destinations.py` (where a result goes) and `layout.py` (how a terminal shows it).
"""
