"""A Nornir runner whose threads are those of a Dask cluster's workers (dask.distributed).

runner.py is the client's side, with deal.py, shipment.py and scheduler.py; worker.py is the worker's. recipe.py says
how a worker builds a Nornir of its own, and travel.py what becomes of results on the way. Nothing here knows of
DoubleZero: any Nornir task can be run so.
"""
