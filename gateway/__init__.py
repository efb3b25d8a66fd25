"""What happens: conversations, turns and messages, and everything that runs them."""
