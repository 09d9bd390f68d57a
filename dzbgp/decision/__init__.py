"""What to write about a user, and why: pure rules, without I/O and without a clock of their own.

Start with `resolver.py` (what was observed), then `policy.py` (what follows) and `guard.py` (what is held).
"""
