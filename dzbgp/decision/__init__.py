"""What to write about a user, and why: pure rules, without I/O and without a clock of their own.

Start with `resolver.py` (what was observed), then `policy.py` (what follows: grace, refresh, damping), `second_look.py`
and `guard.py` (what is held). `memory.py` says what is remembered of a user.
"""
