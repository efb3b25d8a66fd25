"""Misbehaving providers and demanding clients as data, played against every surface of the product."""
