"""What `make run` needs to start, watch and end several processes; imports neither settings nor apps."""
