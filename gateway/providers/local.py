"""The built-in model: llama.cpp's server, which also provides the model's tokenizer."""

from typing import Any

import httpx
from django.conf import settings

from gateway.providers.anthropic_native import for_other_providers
from gateway.providers.base import JsonObject, ModelRequest
from gateway.providers.http import client
from gateway.providers.local_grammar import affordable_tools, check_format
from gateway.providers.openai import CompatibleProvider
from kit.errors import AtCapacity

# The values that the model's authors advise, and llama.cpp's penalty on repeated tokens.
SAMPLING: JsonObject = {"temperature": 0.2, "top_p": 0.9, "repeat_penalty": 1.05}


class LocalProvider(CompatibleProvider):
    """Speaks OpenAI's protocol at an internal URL, and counts tokens exactly."""

    name = "local"
    has_tokenizer = True

    def __init__(self) -> None:
        self.root = settings.LOCAL_MODEL_URL.rstrip("/")
        super().__init__(f"{self.root}/v1", client=client)  # the outbound guard refuses internal addresses

    def _headers(self, api_key: str) -> dict[str, str]:
        """llama.cpp's server promises keep-alive but closes a connection after a stream: no reuse."""
        return {"Connection": "close"}

    def body(self, request: ModelRequest) -> JsonObject:
        """A model this small repeats itself without these parameters; a client's own values take precedence.

        InvalidInput for a `response_format` that would keep the model's server busy.
        """
        body = {**SAMPLING, **super().body(request)}
        check_format(body.get("response_format"))
        if "tools" in body:
            body["tools"] = affordable_tools(body["tools"])
        return body

    async def count_prompt(self, request: ModelRequest) -> int | None:
        """Applies the model's chat template, then its tokenizer."""
        if request.tools:
            return None
        answer = await self._ask(
            "/apply-template", {"messages": for_other_providers(request, takes_late_system=False).messages}
        )
        prompt = answer.get("prompt")
        return await self._count_tokens(prompt, special=True) if isinstance(prompt, str) else None

    async def count_text(self, text: str) -> int | None:
        return await self._count_tokens(text, special=False)

    async def _count_tokens(self, text: str, *, special: bool) -> int | None:
        body = {"content": text, "add_special": special, "parse_special": special}
        tokens = (await self._ask("/tokenize", body)).get("tokens")
        return len(tokens) if isinstance(tokens, list) else None

    async def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Empty if the server does not answer: the caller falls back to a bound."""
        headers = self._headers("")
        try:
            response = await client().post(f"{self.root}{path}", json=body, headers=headers, timeout=10)
            answer = response.json() if response.status_code == httpx.codes.OK else {}
        except (httpx.HTTPError, ValueError, AtCapacity):
            return {}
        return answer if isinstance(answer, dict) else {}
