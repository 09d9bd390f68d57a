"""A Nornir inventory's files: their schema, the filters that choose hosts, and the connection settings.

Start with `schema.py`, which tests the files before Nornir reads them.
"""
