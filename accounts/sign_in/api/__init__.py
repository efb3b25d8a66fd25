"""REST: tokens, and one's own account."""
