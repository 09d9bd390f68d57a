"""What the ledger says, as rows for people and for scripts; no device is asked, and Nornir is not loaded.

Start with `users.list_users` or `devices.list_devices`; `output.deliver` prints what they return.
"""
