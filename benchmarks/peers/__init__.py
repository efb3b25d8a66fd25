"""The cases of tests/cases played against another gateway (make bench-peers)."""
