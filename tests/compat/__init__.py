"""Real clients from the registries against a running installation: `make compat`."""
