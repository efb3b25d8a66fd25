"""Which names clients may give to models, servers and prompts."""

import pytest

from kit.errors import InvalidInput
from kit.slugs import SlugRule
from workspaces.slugs import MODEL_SLUGS, PROMPT_SLUGS, SERVER_SLUGS


@pytest.mark.parametrize(
    "slug", ["gpt-4o", "openai/gpt-4o", "qwen3:0.6b", "Qwen/Qwen3-8B", "a_b", "test", "a/b/c.d:e", "x" * 60]
)
def test_models_have_the_names_that_clients_know_them_by(slug: str) -> None:
    assert MODEL_SLUGS.problem(slug) == ""


@pytest.mark.parametrize(
    "slug",
    [
        "",
        "x" * 61,
        "Not a slug",
        "/a",
        "a/",
        "a//b",
        "a/../b",
        ".",
        "a?b",
        "a%2fb",
        "é",
        "0" * 32,
        "urn:uuid:123e4567-e89b-42d3-a456-426614174000",
        "local",
        "LOCAL",
        "bulk",
        "catalogue/openai",
        "openai/test",
        "openai/Prices",
        "a/remove",
        "agent:writer",
        "Agent:writer",
    ],
)
def test_a_model_has_no_name_that_a_route_or_another_kind_has(slug: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        MODEL_SLUGS.check(slug)
    assert list(refusal.value.details) == ["slug"]


@pytest.mark.parametrize("rule", [SERVER_SLUGS, PROMPT_SLUGS])
def test_servers_and_prompts_have_the_same_rule(rule: SlugRule) -> None:
    for slug in ("a", "a_b", "a-b", "0a"):
        assert rule.problem(slug) == ""
    for slug in ("A", "a.b", "a/b", "a:b", "-a", "_a", "x" * 61, "0" * 32):
        assert rule.problem(slug)
    assert PROMPT_SLUGS.problem("composer")
