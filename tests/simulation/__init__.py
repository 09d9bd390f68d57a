"""A simulated world around the real program: virtual time, and everything drawn from one seed.

Begin with simulate.py, which runs a seed; `make simulate` runs many. kernel.py is the operating system, world.py what
the program runs in, oracle.py what must hold.
"""
