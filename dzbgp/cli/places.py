"""Where a configuration file is looked for. Apart from what reads it, which takes long to import."""

VARIABLE = "DZBGP_CONFIG"
PLACES = ("~/.config/dzbgp/config.toml", "/etc/dzbgp/config.toml")
