"""What a workspace holds, one folder a kind."""
