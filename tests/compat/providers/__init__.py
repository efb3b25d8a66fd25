"""Scripted providers on loopback that refuse what the real ones refuse."""
