"""What costs or acts, for every engine: the metered model call, rights, images, tool runs, approvals."""
