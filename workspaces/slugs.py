"""What the slugs of each kind look like."""

import re

from kit.slugs import SlugRule

LOCAL_MODEL = "local"
LOCAL_EMBEDDING_MODEL = "local-embedding"
BUILT_IN_MODELS = frozenset({LOCAL_MODEL, LOCAL_EMBEDDING_MODEL})
_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._:-]*"  # begins with a letter or digit, so never "." or ".."

# Clients know models by names such as `openai/gpt-4o` and `qwen3:0.6b`. `agent:<slug>` is no model's name.
MODEL_SLUGS = SlugRule(
    pattern=re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*"),
    characters="letters, digits, dots, colons, slashes, hyphens and underscores",
    reserved=BUILT_IN_MODELS,
    reserved_first=frozenset({"bulk", "catalogue", "install"}),
    reserved_last=frozenset({"price", "prices", "remove", "test"}),
    reserved_prefix="agent:",
)
# A server's slug is part of the names of its tools, for which providers allow no other characters.
SERVER_SLUGS = SlugRule()
PROMPT_SLUGS = SlugRule(reserved=frozenset({"composer", "new"}))
