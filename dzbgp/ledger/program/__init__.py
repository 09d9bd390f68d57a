"""The serviceability program: its accounts, its instruction, its errors, and how its data is read and cached.

Start with `fetch.fetch`; `accounts` has the byte layouts.
"""
