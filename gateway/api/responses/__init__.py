"""`/v1/responses`: OpenAI's Responses API, as one metered call in the shape of chat completions."""
