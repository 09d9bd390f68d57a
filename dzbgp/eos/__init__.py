"""How an EOS device is spoken to, and its failures put into words.

Start with `connection`, which opens a device; `getter` asks NAPALM for its BGP neighbors, `bgp` reads the same answers.
"""

PLATFORM = "eos"
"""What a host of the inventory must have as its platform, as Nornir and NAPALM call it."""
