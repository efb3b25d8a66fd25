"""The built-in embedding model: our own small server (`local_embedding_server`), which needs no key."""

import json
from http import HTTPStatus

from django.conf import settings

from gateway.errors import ContextTooLong, ProviderError
from gateway.providers.base import JsonObject
from gateway.providers.embeddings import Inputs, parsed_answer
from gateway.providers.http import client
from gateway.providers.openai import CompatibleProvider
from workspaces.language_models.installation import LOCAL_EMBEDDING_WINDOW

DIMENSIONS = 384
LONGEST_TEXT = 20_000  # characters; 512 tokens have about 2,000
BATCH = 32  # inputs per request, about a second of work: other teams' requests get their turn between them
ONLY_TEXT = (
    "The built-in model takes texts, not tokens. "
    "In LangChain's OpenAIEmbeddings, set check_embedding_ctx_length=False."
)
ABSENT = (
    "The built-in embedding model is not running. `make run` starts it; "
    "elsewhere, LOCAL_EMBEDDING_URL has to name a server for it."
)
UNUSABLE = (
    "The built-in embedding model cannot be loaded: its files or the package onnxruntime are missing. "
    "docs/embeddings.md describes how to install them."
)


class LocalEmbeddingProvider(CompatibleProvider):
    """Speaks OpenAI's protocol at an internal URL, and counts tokens exactly."""

    name = "local"

    def __init__(self) -> None:
        root = settings.LOCAL_EMBEDDING_URL.rstrip("/")
        super().__init__(f"{root}/v1", client=client)  # the outbound guard refuses internal addresses

    async def ask(self, path: str, body: JsonObject, *, most_bytes: int) -> bytes:
        """As the base class, except that a long list of inputs is sent in several requests."""
        try:
            if path != "/embeddings":
                return await super().ask(path, body, most_bytes=most_bytes)
            starts = range(0, len(body["input"]), BATCH)
            return _joined([await self._embed(body["model"], body["input"], at, most_bytes) for at in starts])
        except ProviderError as exc:
            status = exc.details["provider_status"]
            if status is None and exc.did_no_work:
                raise ProviderError(ABSENT, provider=self.name, did_no_work=True) from exc
            if status == HTTPStatus.NOT_IMPLEMENTED:
                raise ProviderError(
                    UNUSABLE, provider=self.name, provider_status=status, did_no_work=True
                ) from exc
            raise

    async def _embed(self, model: str, inputs: list[str], at: int, most_bytes: int) -> JsonObject:
        """One batch; our server names an input that is too long by its place in the whole list."""
        body = {"model": model, "input": inputs[at : at + BATCH], "first": at}
        received = await super().ask("/embeddings", body, most_bytes=most_bytes)
        answer = parsed_answer(received, self.name)
        if text := answer.get("too_long"):
            raise ContextTooLong(text, context_window=LOCAL_EMBEDDING_WINDOW)
        return answer


def _joined(answers: list[JsonObject]) -> bytes:
    """One answer, with the vectors in order and the sum of the counts."""
    data = [{**item, "index": None} for answer in answers for item in answer["data"]]
    tokens = sum(answer["usage"]["prompt_tokens"] for answer in answers)
    return json.dumps({"data": data, "usage": {"prompt_tokens": tokens}}).encode()


def refused_input(inputs: Inputs, extra: JsonObject) -> dict[str, list[str]]:
    """The problems by field; nothing is ignored except `user`, which changes no vector."""
    wrong = {name: ["The built-in model does not have this parameter."] for name in extra if name != "user"}
    if extra.get("dimensions") == DIMENSIONS:
        del wrong["dimensions"]
    elif "dimensions" in wrong:
        wrong["dimensions"] = [f"The built-in model always returns {DIMENSIONS} dimensions."]
    if not isinstance(inputs[0], str):
        return {**wrong, "input": [ONLY_TEXT]}
    too_long = next((at for at, one in enumerate(inputs) if len(one) > LONGEST_TEXT), None)
    if too_long is not None:
        most = f"Split it into passages of at most {LOCAL_EMBEDDING_WINDOW} tokens."
        text = f"It has {len(inputs[too_long]):,} characters. {most}"
        wrong[f"input[{too_long}]"] = [text]
    return wrong
