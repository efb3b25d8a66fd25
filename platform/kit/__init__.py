"""The base of every app; imports none of them."""

__version__ = "0.1.0"  # of Switchyard
