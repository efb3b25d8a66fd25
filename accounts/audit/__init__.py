"""The audit: entries, refusals, queries, and its pages and routes."""
