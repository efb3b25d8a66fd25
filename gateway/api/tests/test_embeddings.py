"""OpenAI's own package embeds and moderates with only its base address and its key changed."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from accounts.tests.cast import Cast, Person
from gateway.providers.local_embeddings import BATCH
from gateway.tests.events import send
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served
from gateway.tests.wait import wait_until
from kit.tenancy import tenant_scope
from quotas.models import BudgetWindow, Hold, UsageDay, UsageRecord
from quotas.tests.ledger import limit_to
from workspaces.language_models.installation import add_credential, install_model
from workspaces.language_models.models import LanguageModel

JSON = {"Content-Type": "application/json"}
Install = Callable[..., LanguageModel]


@pytest.fixture
def alice(server: Served, cast: Cast) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=cast.alice.token, max_retries=0) as client:
        yield client


@pytest.fixture
def install(cast: Cast, settings: Any, server: Served) -> Install:
    """`install(slug, …)`: a model of Alice's workspace at the scripted provider."""
    settings.OUTBOUND_ALLOWED = [settings.LOCAL_MODEL_URL.removeprefix("http://")]

    def make(slug: str, *, kind: str = "embedding", provider: str = "compatible") -> LanguageModel:
        with tenant_scope(cast.alice.principal.tenant):
            credential = add_credential(
                workspace_id=cast.alice.principal.workspace.id,
                name=slug,
                kind=provider,
                key="",
                base_url=f"{settings.LOCAL_MODEL_URL}/v1",
            )
            return install_model(
                credential=credential,
                slug=slug,
                upstream_name="up",
                context_window=8191,
                kind=kind,
                enabled=True,
            )

    return make


def test_texts_are_embedded_in_either_format_and_charged_as_embeddings(
    alice: openai.OpenAI, provider: ScriptedProvider, install: Install
) -> None:
    model = install("openai/text-embedding-3-small")
    # The package asks for base64 and decodes it.
    answer = alice.embeddings.create(model=model.slug, input=["a b", "abc"], dimensions=3, user="u-1")
    assert [item.embedding for item in answer.data] == [[3.0, 0.5, -1.0]] * 2
    assert [item.index for item in answer.data] == [0, 1]
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == (model.slug, 3, 3)
    asked = provider.requests[-1]
    assert (asked["model"], asked["input"], asked["dimensions"], asked["user"]) == (
        "up",
        ["a b", "abc"],
        3,
        "u-1",
    )
    assert asked["encoding_format"] == "base64"
    floats = alice.embeddings.create(model=model.slug, input="a b", encoding_format="float")
    assert floats.data[0].embedding == [3.0, 0.5, -1.0]
    tokens = alice.embeddings.create(model=model.slug, input=[[1, 2, 3]], extra_body={"input_type": "query"})
    assert (provider.requests[-1]["input"], provider.requests[-1]["input_type"]) == ([[1, 2, 3]], "query")
    assert tokens.usage.prompt_tokens == 3
    lines = UsageRecord.objects.order_by("id")
    assert [(line.purpose, line.input_tokens, line.output_tokens, line.exactness) for line in lines] == [
        ("embedding", 3, 0, "exact"),
        ("embedding", 2, 0, "exact"),
        ("embedding", 3, 0, "exact"),
    ]
    assert {(line.model, line.model_id) for line in lines} == {(model.slug, model.id)}
    assert UsageDay.objects.get().purpose == "embedding"
    assert BudgetWindow.objects.get().reserved == 0


def test_the_built_in_model_needs_no_key_and_gets_long_lists_in_batches(
    alice: openai.OpenAI, provider: ScriptedProvider
) -> None:
    texts = ["x" * (1 + at % 7) for at in range(2 * BATCH + 5)]
    answer = alice.embeddings.create(model="local-embedding", input=texts)
    assert [item.embedding[0] for item in answer.data] == [len(text) for text in texts]
    assert [len(request["input"]) for request in provider.requests] == [BATCH, BATCH, 5]
    assert [request["first"] for request in provider.requests] == [0, BATCH, 2 * BATCH]
    assert UsageRecord.objects.get().input_tokens == len(texts)


def test_a_repeated_key_gets_the_same_answer_and_costs_nothing(
    alice: openai.OpenAI, provider: ScriptedProvider
) -> None:
    headers = {"Idempotency-Key": "embed-1"}
    answers = [
        alice.embeddings.create(model="local-embedding", input=["abc"], extra_headers=headers)
        for _ in range(2)
    ]
    assert answers[0].data == answers[1].data
    assert len(provider.requests) == 1
    assert UsageRecord.objects.count() == 1
    with pytest.raises(openai.ConflictError, match="different body"):
        alice.embeddings.create(model="local-embedding", input=["abcd"], extra_headers=headers)


def test_concurrent_requests_with_one_key_make_one_call(
    server: Served, cast: Cast, provider: ScriptedProvider
) -> None:
    headers = {**cast.alice.headers, "Idempotency-Key": "embed-2"}
    body = {"model": "local-embedding", "input": "abc"}

    def ask(_: int) -> int:
        return httpx.post(f"{server.url}/v1/embeddings", json=body, headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, range(8)))
    assert 200 in statuses
    assert set(statuses) <= {200, 409}
    assert len(provider.requests) == UsageRecord.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": [1, 2, 3]}, "input"),
        ({"dimensions": 256}, "dimensions"),
        ({"input_type": "query"}, "input_type"),
        ({"input": ["fine", "x" * 30_000]}, "input[1]"),
    ],
)
def test_what_the_built_in_model_cannot_do_is_refused_by_name(
    client_of: Any, cast: Cast, provider: ScriptedProvider, body: dict[str, Any], param: str
) -> None:
    answer = client_of(cast.alice).post(
        "/v1/embeddings", json={"model": "local-embedding", "input": "hi", **body}
    )
    assert (answer.status_code // 100, answer.json()["error"]["param"]) == (4, param)
    assert provider.requests == []


def test_wrong_requests_are_refused_before_anything_is_sent(
    client_of: Any, cast: Cast, provider: ScriptedProvider, install: Install
) -> None:
    install("embed")
    client = client_of(cast.alice)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"input": []}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": [[1], [-1]]}, "input"),
        ({"input": [True]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": [[7] * 9000]}, "input[0]"),
        ({"input": [[7] * 8000] * 40}, "input"),
        ({"input": "half \ud83d"}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"stream": True}, "stream"),
        ({"extra": "x" * 20_000}, "extra"),
        ({"model": 7}, "model"),
    ]
    found = []
    for body, param in wrong:
        content = json.dumps({"model": "embed", "input": "hi", **body})
        answer = client.post("/v1/embeddings", content=content, headers=JSON)
        found.append((param, answer.status_code in (400, 422), answer.json()["error"]["param"]))
    assert found == [(param, True, param) for _, param in wrong]
    empty_lists = b'{"model": "embed", "input": [' + b"[]," * 1_500_000 + b"[]]}"
    answer = client.post("/v1/embeddings", content=empty_lists, headers=JSON)
    assert (answer.status_code in (400, 422), answer.json()["error"]["param"]) == (True, "input")
    assert provider.requests == []
    assert not Hold.objects.exists()


def test_a_long_text_of_brackets_is_no_structure(client_of: Any, cast: Cast, install: Install) -> None:
    install("embed")
    limit_to(cast.alice, 10**9)
    body = {"model": "embed", "input": '[{"a": 1}, []],\\' * 400_000}
    answer = client_of(cast.alice).post("/v1/embeddings", json=body)
    assert answer.status_code == 200, answer.text


def test_each_surface_refuses_models_of_another_kind_by_name(
    alice: openai.OpenAI, client_of: Any, cast: Cast, provider: ScriptedProvider, install: Install
) -> None:
    install("guard", kind="moderation")
    with pytest.raises(openai.APIStatusError, match="local is a chat model") as refusal:
        alice.embeddings.create(model="local", input="hi")
    assert refusal.value.status_code in (400, 422)
    assert refusal.value.param == "model"
    with pytest.raises(openai.APIStatusError, match="guard is a moderation model"):
        alice.embeddings.create(model="guard", input="hi")
    with pytest.raises(openai.APIStatusError, match="local-embedding is an embedding model"):
        alice.chat.completions.create(model="local-embedding", messages=[{"role": "user", "content": "hi"}])
    client = client_of(cast.alice)
    sent = send(client, "hi", model="local-embedding")
    assert (sent.status_code, list(sent.json()["error"]["details"])) == (422, ["model"])
    explained = client.post("/v1/chat/explain", json={"message": "hi", "model": "local-embedding"}).json()
    assert [check["check"] for check in explained["checks"] if not check["allowed"]] == ["kind"]
    assert provider.requests == []


def test_a_budget_and_a_rate_limit_hold_as_for_chats(
    alice: openai.OpenAI, cast: Cast, provider: ScriptedProvider
) -> None:
    limit_to(cast.alice, 10)
    with pytest.raises(openai.RateLimitError) as refusal:
        alice.embeddings.create(model="local-embedding", input="more than ten bytes of text")
    error: Any = refusal.value.body
    assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
    assert refusal.value.response.headers["x-should-retry"] == "false"
    assert provider.requests == []
    limit_to(cast.alice, 1000)
    raw = alice.embeddings.with_raw_response.create(model="local-embedding", input="hi")
    assert raw.headers["x-ratelimit-limit-tokens"] == "1000"
    assert raw.headers["x-request-id"]


@pytest.mark.parametrize("name", ["charlie", "dana"])
def test_another_workspaces_model_is_as_unknown_as_a_missing_one(
    client_of: Any, cast: Cast, install: Install, name: str
) -> None:
    install("embed")
    stranger: Person = getattr(cast, name)

    def refused(model: str) -> tuple[int, str]:
        answer = client_of(stranger).post("/v1/embeddings", json={"model": model, "input": "hi"})
        return answer.status_code, answer.json()["error"]["code"]

    assert refused("embed") == refused("no-such-model")
    assert refused("embed")[0] in (403, 404)


def test_a_wrong_answer_is_the_providers_error_and_costs_the_estimate(
    alice: openai.OpenAI, provider: ScriptedProvider, install: Install
) -> None:
    install("embed")
    provider.answers["/v1/embeddings"] = (200, {"data": [{"embedding": [1.0]}]})
    with pytest.raises(openai.InternalServerError, match="1 embeddings for 2 inputs"):
        alice.embeddings.create(model="embed", input=["one two", "three"])
    line = UsageRecord.objects.get()
    assert (line.exactness, line.input_tokens > 0, line.output_tokens) == ("estimated", True, 0)
    provider.answers["/v1/embeddings"] = (400, {"error": {"message": "no"}})
    with pytest.raises(openai.APIStatusError) as refusal:
        alice.embeddings.create(model="embed", input="hi")
    assert refusal.value.status_code in (400, 422)
    assert UsageRecord.objects.count() == 1, "a refused call was charged"
    assert BudgetWindow.objects.get().reserved == 0


def test_a_client_that_leaves_cancels_the_call_which_is_charged_by_estimate(
    client_of: Any, cast: Cast, provider: ScriptedProvider, install: Install
) -> None:
    install("embed")
    provider.waits = threading.Event()
    with pytest.raises(httpx.ReadTimeout):
        client_of(cast.alice).post("/v1/embeddings", json={"model": "embed", "input": "hi"}, timeout=1)
    wait_until(UsageRecord.objects.exists)
    provider.waits.set()
    assert UsageRecord.objects.get().exactness == "estimated"
    assert BudgetWindow.objects.get().reserved == 0


def test_moderations_are_metered_in_requests_where_the_provider_charges_nothing(
    alice: openai.OpenAI, provider: ScriptedProvider, install: Install
) -> None:
    install("omni-moderation", kind="moderation", provider="openai")
    install("other", kind="moderation")
    answer = alice.moderations.create(model="omni-moderation", input=["one", "two"])
    assert (answer.id, answer.model) == ("modr-1", "omni-moderation")
    assert [result.flagged for result in answer.results] == [False, False]
    parts: Any = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    assert len(alice.moderations.create(model="omni-moderation", input=parts).results) == 1
    assert provider.requests[-1]["input"] == parts
    free = UsageRecord.objects.all()
    assert {(line.purpose, line.input_tokens, line.exactness) for line in free} == {
        ("moderation", 0, "exact")
    }
    assert UsageDay.objects.get().calls == 2
    alice.moderations.create(model="other", input="one two three")
    line = UsageRecord.objects.first()
    assert line is not None
    assert (line.model, line.exactness, line.input_tokens > 0) == ("other", "unreported", True)
    parts = [{"type": "text", "text": "b"}, {"type": "video"}]
    for wrong, param in (([], "input"), (7, "input"), (["a", parts[0]], "input"), (parts, "input[1].type")):
        with pytest.raises(openai.APIStatusError) as refusal:
            alice.moderations.create(model="other", input=wrong)  # type: ignore[arg-type]
        assert (refusal.value.status_code in (400, 422), refusal.value.param) == (True, param)


def test_routes_that_are_not_offered_are_refused_by_name(
    alice: openai.OpenAI, client_of: Any, cast: Cast
) -> None:
    with pytest.raises(
        openai.NotFoundError, match=r"no /v1/images/generations\. .* the provider's own API"
    ) as found:
        alice.images.generate(model="dall-e-3", prompt="a cat")
    assert found.value.type == "not_found_error"
    client = client_of(cast.alice)
    for path in ("/v1/audio/speech", "/v1/audio/transcriptions", "/v1/completions", "/v1/files/file-1"):
        answer = client.post(path, json={})
        assert (answer.status_code, path in answer.json()["error"]["message"]) == (404, True)
    assert client.post("/v1/nothing", json={}).json()["error"]["message"] == "Not found."
