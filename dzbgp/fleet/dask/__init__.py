"""A Nornir runner that runs hosts on the workers of a Dask cluster. It knows nothing of DoubleZero.

Start with runner.py, then read dispatch.py, which runs in this process, and worker.py, which runs in theirs.
"""
