"""`/v1/messages`: every model in Anthropic's wire format, for its libraries and for coding agents."""
