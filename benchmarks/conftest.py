"""Benchmarks use the suite's own cast and servers."""
