"""A prompt in a turn: by REST in send and explain, and by a slash in the composer."""

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from accounts.tests.cast import Cast
from gateway.api.tests.test_tools_in_browser import sign_in
from gateway.models import Turn
from gateway.tests.chromium import Chromium, page_of
from gateway.tests.events import send
from gateway.tests.needs import needs
from gateway.tests.scripted_provider import ScriptedProvider
from gateway.tests.served import Served
from kit.tenancy import tenant_scope
from tests.journeys.test_first_message import TIMEOUT

LETTER = {
    "slug": "letter",
    "title": "A letter",
    "text": "Write to {{name}}.",
    "variables": [{"name": "name", "label": "Whom"}],
}


@pytest.fixture
def letter(client_of: Any, cast: Cast) -> None:
    made = client_of(cast.alice).post("/v1/workspaces/sales/prompts", json=LETTER)
    assert made.status_code == 201


def test_the_prompt_is_the_message(
    letter: None, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    sent = {"model": "local", "prompt": "letter", "variables": {"name": "Ada"}}
    reply = client_of(cast.bob).post("/v1/chat/send", json=sent).json()
    assert provider.requests[-1]["messages"][-1]["content"] == "Write to Ada."
    with tenant_scope(cast.bob.principal.tenant):
        turn = Turn.objects.get(id=reply["turn_id"])
    assert turn.parameters["prompt"] | {"id": ""} == {"id": "", "slug": "letter", "version": 1}


def test_a_message_follows_its_prompt(
    letter: None, client_of: Any, cast: Cast, provider: ScriptedProvider
) -> None:
    send(client_of(cast.bob), "Be brief.", prompt="letter", variables={"name": "{{name}}"})
    assert provider.requests[-1]["messages"][-1]["content"] == "Write to {{name}}.\n\nBe brief."


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"prompt": "letter"}, "variables.name"),
        ({"prompt": "letter", "variables": {"name": "a", "more": 1}}, "variables.more"),
        ({"prompt": "nothing"}, "prompt"),
        ({"variables": {"name": "a"}}, "variables"),
        ({"prompt": "letter", "variables": {"name": "\ud800"}}, "variables.name"),
        ({"prompt": "letter", "variables": {"name": "a", "\ud800": 1}}, "variables.?"),
        ({"prompt": "letter", "variables": {"name": 10**400}}, "variables.name"),
        ({"prompt": "\0"}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
    ],
)
def test_each_wrong_field_is_named(
    letter: None, client_of: Any, cast: Cast, fields: dict[str, Any], wrong: str
) -> None:
    for route in ("send", "explain"):
        body = {"message": "hi", "model": "local", **fields}
        answer = client_of(cast.bob).post(
            f"/v1/chat/{route}", content=json.dumps(body), headers={"content-type": "application/json"}
        )
        assert (answer.status_code, list(answer.json()["error"]["details"])) == (422, [wrong])


def test_a_prompt_of_another_workspace_is_not_found(letter: None, client_of: Any, cast: Cast) -> None:
    for person in (cast.dana, cast.charlie):
        answer = send(client_of(person), "hi", prompt="letter", variables={"name": "a"})
        assert list(answer.json()["error"]["details"]) == ["prompt"]


@pytest.mark.slow
@pytest.mark.browser
@needs("chromium")
def test_a_slash_inserts_a_prompt(server: Served, letter: None, cast: Cast, chromium: Chromium) -> None:
    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_in(page, server.url, "bob@example.com")
            area = page.get_by_test_id("composer")
            area.press_sequentially("/lett")
            expect(page.get_by_test_id("prompt-option")).to_contain_text("A letter", timeout=TIMEOUT)
            expect(page.get_by_role("combobox", name="Message", expanded=True)).to_be_focused()
            page.keyboard.press("Enter")
            expect(page.get_by_role("combobox", name="Message")).to_have_count(0)
            page.get_by_label("Whom").fill("Ada")
            expect(page.locator("[data-part=preview]")).to_have_text("Write to Ada.", timeout=TIMEOUT)
            page.get_by_test_id("insert-prompt").click()
            expect(page.get_by_test_id("composer")).to_have_value("Write to Ada.", timeout=TIMEOUT)

    chromium.run(journey)


@pytest.mark.slow
@pytest.mark.browser
@needs("chromium")
def test_a_new_title_typed_in_a_browser_makes_no_version(
    server: Served, client_of: Any, cast: Cast, chromium: Chromium
) -> None:
    bob, where = client_of(cast.bob), "/v1/workspaces/sales/prompts"
    cities = {"name": "city", "type": "choice", "options": ["Paris, France", "Rome, Italy"]}
    listed = {"name": "list", "type": "multiline", "default": "\n- one\n\n- two\n"}
    sent = {
        "slug": "odd",
        "title": "Odd",
        "text": "\n{{city}}\r\n  {{list}}\n",
        "variables": [cities, listed],
    }
    before = bob.post(where, json=sent).json()

    def journey(browser: Browser) -> None:
        with page_of(browser) as page:
            sign_in(page, server.url, "bob@example.com")
            page.goto(f"{server.url}/t/acme/w/sales/prompts/odd/edit")
            page.fill("#id_title", "Odder")
            page.get_by_test_id("save-prompt").click()
            expect(page.get_by_role("heading", name="Odder")).to_be_visible(timeout=TIMEOUT)

    chromium.run(journey)
    after = bob.get(f"{where}/odd").json()
    assert {name for name in after if after[name] != before[name]} == {"title", "updated_at"}


@pytest.mark.slow
@pytest.mark.browser
@needs("chromium")
def test_choosing_another_prompt_starts_a_new_form_and_keeps_the_text(
    server: Served, letter: None, client_of: Any, cast: Cast, chromium: Chromium
) -> None:
    prompts = "/v1/workspaces/sales/prompts"
    note = {"slug": "note", "title": "A note", "text": "Tell {{who}}.", "variables": [{"name": "who"}]}
    plain = {"slug": "plain", "title": "A plain one", "text": "Be brief."}
    for made in (note, plain):
        assert client_of(cast.alice).post(prompts, json=made).status_code == 201

    def journey(browser: Browser) -> None:
        with page_of(browser, refused="/render") as page:
            sign_in(page, server.url, "bob@example.com")
            area, preview = page.get_by_test_id("composer"), page.locator("[data-part=preview]")

            def choose(slug: str) -> None:
                area.fill(f"/{slug}")
                page.get_by_test_id("prompt-option").click(timeout=TIMEOUT)

            choose("letter")
            page.get_by_label("Whom").fill("Ada")
            expect(preview).to_have_text("Write to Ada.", timeout=TIMEOUT)
            page.get_by_label("Whom").fill("")
            expect(preview).to_have_text("", timeout=TIMEOUT)
            page.get_by_label("Whom").fill("Ada")
            expect(preview).to_have_text("Write to Ada.", timeout=TIMEOUT)
            page.keyboard.press("Escape")
            choose("note")
            expect(preview).to_have_text("")
            page.keyboard.press("Escape")
            choose("plain")
            expect(area).to_have_value("Be brief.", timeout=TIMEOUT)
            area.fill("/plain")
            expect(page.get_by_test_id("prompt-option")).to_be_visible(timeout=TIMEOUT)
            client_of(cast.alice).delete(f"{prompts}/plain")
            page.get_by_test_id("prompt-option").click()
            expect(page.locator("#toasts")).to_contain_text("no longer exists", timeout=TIMEOUT)
            expect(area).to_have_value("/plain")

    chromium.run(journey)
