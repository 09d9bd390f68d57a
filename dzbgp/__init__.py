"""dzbgp: writes the BGP status of DoubleZero's users onchain, read from a fleet of Arista devices."""

__version__ = "0.1.0"
