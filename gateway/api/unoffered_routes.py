"""Routes of OpenAI's API that Switchyard does not have, refused by name and with what to do instead.

Reference: https://platform.openai.com/docs/api-reference
"""

ELSEWHERE = "Call the provider's own API for this."
AUDIO = f"Switchyard cannot meter audio, so it does not pass it on. {ELSEWHERE}"
PICTURES = f"Switchyard cannot meter generated images, so it does not pass them on. {ELSEWHERE}"
UNOFFERED = {
    "/v1/audio": AUDIO,
    "/v1/realtime": AUDIO,
    "/v1/images/generations": PICTURES,
    "/v1/images/edits": PICTURES,
    "/v1/images/variations": PICTURES,
    "/v1/videos": f"Switchyard cannot meter videos, so it does not pass them on. {ELSEWHERE}",
    "/v1/completions": "Send messages to POST /v1/chat/completions instead.",
    "/v1/responses": "A response can be created, read and deleted, and its input_items listed.",
    "/v1/batches": f"Send requests one at a time. {ELSEWHERE}",
    "/v1/files": "Send images as parts of a message; other files are not stored for the API.",
    "/v1/uploads": "Send images as parts of a message; other files are not stored for the API.",
    "/v1/vector_stores": f"Use POST /v1/embeddings with a vector database of your own. {ELSEWHERE}",
    "/v1/assistants": "Use POST /v1/chat/send, which stores conversations.",
    "/v1/threads": "Use POST /v1/chat/send, which stores conversations.",
    "/v1/fine_tuning": f"A tuned model can be installed like any other. {ELSEWHERE}",
}


def unoffered_text(path: str) -> str | None:
    """Why there is no such route, for people; None for a path that OpenAI does not have either."""
    found = next((known for known in UNOFFERED if path == known or path.startswith(f"{known}/")), None)
    return f"Switchyard has no {path[:100]}. {UNOFFERED[found]}" if found else None
