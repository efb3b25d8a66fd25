"""Mail: composed, limited, queued, sent."""
