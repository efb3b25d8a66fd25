"""The web's pages: one's own things in one's own places, working without a script, safe against forgery."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.utils import timezone

from accounts.models import AuditEntry, User
from accounts.tests.cast import PASSWORD, Cast
from gateway.models import Conversation, Turn
from gateway.tests.events import parse, send
from gateway.tests.scripted_provider import Script, ScriptedProvider
from gateway.tests.served import Served
from kit.tenancy import tenant_scope

SALES = "/t/acme/w/sales"
PAGES = [f"{SALES}/chat/", f"{SALES}/models", f"{SALES}/usage", f"{SALES}/chat/conversations"]


class Browser:
    """A client with cookies that fills in forms as a browser without script does."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30, verify=False)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path, follow_redirects=True)

    def submit(self, path: str, page: str | None = None, **fields: str) -> httpx.Response:
        self.client.get(page or path)
        token = self.client.cookies["csrftoken"]
        return self.client.post(path, data={**fields, "csrfmiddlewaretoken": token}, follow_redirects=True)

    def sign_in(self, name: str) -> "Browser":
        answer = self.submit("/accounts/login/", login=f"{name}@example.com", password=PASSWORD)
        assert answer.url.path.startswith(("/t/", "/places")), answer.url
        return self


@pytest.fixture
def browser(server: Served) -> Browser:
    return Browser(server.url)


def test_signing_up_on_the_web_leads_into_the_first_chat(browser: Browser, cast: Cast) -> None:
    answer = browser.submit(
        "/accounts/signup/",
        name="Erin",
        email="erin@example.com",
        password1=PASSWORD,
        tenant_name="Initech",
        workspace_name="Research",
    )
    assert answer.url.path == "/t/initech/w/research/chat/"
    assert "Initech" in answer.text
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"user.signed_up", "user.signed_in"} <= actions


def test_a_sign_up_with_a_taken_address_keeps_what_was_typed(browser: Browser, cast: Cast) -> None:
    answer = browser.submit(
        "/accounts/signup/",
        name="Mallory",
        email="ALICE@example.com",
        password1=PASSWORD,
        tenant_name="Evil",
        workspace_name="W",
    )
    assert answer.url.path == "/accounts/signup/"
    assert 'value="Mallory"' in answer.text
    assert 'value="Evil"' in answer.text


def test_signing_in_and_out_is_audited(browser: Browser, cast: Cast) -> None:
    browser.sign_in("bob")
    assert AuditEntry.objects.filter(action="user.signed_in", actor=cast.bob.user).count() == 1
    browser.submit("/accounts/logout/")
    assert AuditEntry.objects.filter(action="user.signed_out", actor=cast.bob.user).count() == 1
    assert "/accounts/login/" in str(browser.get(f"{SALES}/chat/").url)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_needs_a_member_of_its_workspace(browser: Browser, cast: Cast, path: str) -> None:
    assert "/accounts/login/" in str(browser.get(path).url)
    assert browser.sign_in("bob").get(path).status_code == 200
    assert browser.get(path.replace("sales", "ops")).status_code == 404
    assert browser.get(path.replace("acme", "globex")).status_code == 404
    assert browser.get(path.replace("acme", "ACME")).status_code == 404


@pytest.mark.parametrize("name", ["charlie", "dana"])
@pytest.mark.parametrize("path", PAGES)
def test_charlie_and_dana_find_nothing_there(browser: Browser, cast: Cast, name: str, path: str) -> None:
    theirs = browser.sign_in(name).get(path)
    nothing = browser.get(path.replace("sales", "no-such-place"))
    assert theirs.status_code == nothing.status_code == 404
    assert "Sales" not in theirs.text or name == "charlie"


def test_going_to_another_workspace_is_audited_and_the_root_leads_back_there(
    browser: Browser, cast: Cast
) -> None:
    browser.sign_in("alice")
    browser.get("/t/acme/w/ops/chat/")
    assert browser.get("/").url.path == "/t/acme/w/ops/chat/"
    switched = AuditEntry.objects.get(action="user.switched")
    assert (switched.target, switched.actor) == ("acme/ops", cast.alice.user)


def test_the_switcher_and_the_list_of_places_lead_only_to_ones_own(browser: Browser, cast: Cast) -> None:
    page = browser.sign_in("alice").get("/places/").text
    assert page.count('href="/t/acme/w/') == 2
    assert "globex" not in page
    assert 'href="/t/acme/w/ops/chat/"' in browser.get(f"{SALES}/chat/").text


def test_without_a_script_a_form_sends_and_the_page_shows_the_reply(browser: Browser, cast: Cast) -> None:
    browser.sign_in("alice")
    answer = browser.submit(
        f"{SALES}/chat/send",
        page=f"{SALES}/chat/",
        message="Say **hello**",
        model="local",
        conversation_id="",
    )
    assert answer.status_code == 200
    assert answer.url.path.startswith(f"{SALES}/chat/")
    assert "Hello there." in answer.text
    assert "Say **hello**" in answer.text


def test_a_page_shows_a_replaced_reply_once_and_the_notice_that_lasts(browser: Browser, cast: Cast) -> None:
    browser.sign_in("alice")
    form = {"message": "hi", "model": "local", "conversation_id": ""}
    where = browser.submit(f"{SALES}/chat/send", page=f"{SALES}/chat/", **form).url.path
    parts = [
        {"type": "replace", "positions": 9},
        {"type": "notice", "kind": "history_restored", "text": "From our own copy."},
        {"type": "text", "text": "Hello there."},
    ]
    with tenant_scope(cast.alice.principal.tenant):
        Turn.objects.update(parts=parts)
    page = browser.get(where).text
    assert page.count("<p>Hello there.</p>") == 1
    assert '<p class="reply-notice quiet" data-kind="history_restored">From our own copy.</p>' in page


def test_a_refused_form_says_why(browser: Browser, cast: Cast) -> None:
    browser.sign_in("alice")
    answer = browser.submit(f"{SALES}/chat/send", page=f"{SALES}/chat/", message="hi", model="gpt-4")
    assert answer.status_code == 403
    assert "not enabled" in answer.text


def test_a_form_that_finds_no_place_says_when_to_come_back(
    browser: Browser, cast: Cast, settings: Any
) -> None:
    settings.MAX_RUNNING_TURNS = 0
    browser.sign_in("alice")
    answer = browser.submit(f"{SALES}/chat/send", page=f"{SALES}/chat/", message="hi", model="local")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "as many replies as it may" in answer.text


def json_post(browser: Browser, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    token = browser.client.cookies.get("csrftoken", "")
    return browser.client.post(path, json=body, headers={"X-CSRFToken": token, **headers})


def test_a_script_sends_and_follows_the_drawn_reply(
    browser: Browser, cast: Cast, provider: ScriptedProvider
) -> None:
    provider.script = Script(steps=["# Ti", "tle\n\n", "Some *text*", " here"])
    browser.sign_in("alice").get(f"{SALES}/chat/")
    told = json_post(browser, f"{SALES}/chat/send", {"message": "<b>hi</b>", "model": "local"})
    assert told.status_code == 202
    sent = told.json()
    assert "&lt;b&gt;hi&lt;/b&gt;" in sent["message_html"]
    with browser.client.stream("GET", sent["events_url"]) as answer:
        events = list(parse(answer.iter_lines()))
    blocks: list[str] = []
    for event in events:
        if event.type == "html":
            blocks[event.data["from"] :] = event.data["blocks"]
    assert blocks == ["<h1>Title</h1>", "<p>Some <em>text</em> here</p>"]
    assert [event.type for event in events][-2:] == ["usage", "done"]


def test_a_reply_that_is_being_written_shows_up_on_a_page_loaded_meanwhile(
    browser: Browser, cast: Cast, provider: ScriptedProvider
) -> None:
    gate = threading.Event()
    provider.script = Script(steps=["Half ", gate, "whole"])
    browser.sign_in("alice").get(f"{SALES}/chat/")
    sent = json_post(browser, f"{SALES}/chat/send", {"message": "hi", "model": "local"}).json()
    page = browser.get(sent["conversation_url"])
    assert 'data-state="running"' in page.text
    assert sent["events_url"] in page.text
    stopped = json_post(browser, sent["stop_url"], {})
    assert stopped.status_code == 202
    with browser.client.stream("GET", sent["events_url"]) as answer:
        assert list(parse(answer.iter_lines()))[-1].data == {"finish_reason": "cancelled"}


@pytest.mark.parametrize(
    "headers", [{"X-CSRFToken": ""}, {"X-CSRFToken": "x" * 32}, {"Origin": "https://evil.example"}]
)
def test_a_forged_request_with_a_cookie_is_refused(
    browser: Browser, cast: Cast, provider: ScriptedProvider, headers: dict[str, str]
) -> None:
    browser.sign_in("alice").get(f"{SALES}/chat/")
    answer = json_post(browser, f"{SALES}/chat/send", {"message": "hi", "model": "local"}, **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_refused")
    assert provider.requests == []


@pytest.mark.parametrize("path", ["/", f"{SALES}/chat/", f"{SALES}/turns/{UUID(int=1)}/events"])
@pytest.mark.parametrize("key", ['"\\000aaaaaaaaaaaaaaaa"', "a" * 5000, "short", "ä" * 20])
def test_a_made_up_session_cookie_opens_nothing(browser: Browser, cast: Cast, path: str, key: str) -> None:
    answer = browser.client.get(path, headers={b"Cookie": f"sessionid={key}".encode()})
    assert answer.status_code in {302, 401}


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("multipart/form-data", b"x"),
        ("application/x-www-form-urlencoded; charset=utf-16", b"message=x"),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % number for number in range(1500))),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(
    browser: Browser, cast: Cast, kind: str, content: bytes
) -> None:
    browser.sign_in("alice").get(f"{SALES}/chat/")
    answer = browser.client.post(f"{SALES}/chat/send", content=content, headers={"Content-Type": kind})
    assert answer.status_code in {403, 422}


def test_of_two_sign_ups_of_one_address_at_once_one_is_led_to_sign_in(server: Served, cast: Cast) -> None:
    fields = {
        "name": "Erin",
        "email": "erin@example.com",
        "password1": PASSWORD,
        "tenant_name": "Initech",
        "workspace_name": "Research",
    }
    browsers = [Browser(server.url) for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda one: one.submit("/accounts/signup/", **fields), browsers))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.url.path.startswith("/t/initech") for answer in answers) == 1
    assert User.objects.filter(email="erin@example.com").count() == 1


@pytest.mark.parametrize("email", ["a@" + "İ" * 120 + ".com", "x" * 300 + "@example.com", "no address"])
def test_an_odd_address_is_refused_at_sign_up(browser: Browser, cast: Cast, email: str) -> None:
    answer = browser.submit(
        "/accounts/signup/",
        name="Erin",
        email=email,
        password1=PASSWORD,
        tenant_name="Initech",
        workspace_name="Research",
    )
    assert (answer.status_code, answer.url.path) == (200, "/accounts/signup/")
    body = {"email": email, "password": PASSWORD, "name": "E", "tenant_name": "I", "workspace_name": "R"}
    assert browser.client.post("/v1/auth/signup", json=body).status_code == 422


def test_a_cookie_opens_nothing_of_the_api(browser: Browser, cast: Cast) -> None:
    browser.sign_in("alice")
    assert browser.client.get("/v1/conversations").status_code == 401
    assert json_post(browser, "/v1/chat/send", {"message": "hi", "model": "local"}).status_code == 401


def test_conversations_are_listed_searched_renamed_and_deleted(
    browser: Browser, cast: Cast, client_of: Any
) -> None:
    first = send(client_of(cast.alice), "Plans for spring").json()["conversation_id"]
    send(client_of(cast.alice), "Notes of autumn")
    browser.sign_in("alice")
    assert "Plans for spring" in browser.get(f"{SALES}/chat/").text
    found = browser.get(f"{SALES}/chat/?q=spring").text
    assert "Plans for spring" in found
    assert "Notes of autumn" not in found
    address = f"{SALES}/chat/{first}"
    renamed = browser.submit(f"{address}/rename", page=address, title="  Plans\nfor <summer> ")
    assert "Plans for &lt;summer&gt;" in renamed.text
    deleted = browser.submit(f"{address}/delete", page=address)
    assert "The conversation is deleted." in deleted.text
    assert browser.get(address).status_code == 404


@pytest.mark.parametrize("name", ["bob", "dana", "charlie"])
def test_nobody_else_opens_renames_or_deletes_my_conversation(
    browser: Browser, cast: Cast, client_of: Any, name: str
) -> None:
    mine = send(client_of(cast.alice), "Mine").json()["conversation_id"]
    browser.sign_in(name)
    address = f"{SALES}/chat/{mine}"
    home = browser.get("/").url.path
    assert browser.get(address).status_code == 404
    assert browser.submit(f"{address}/rename", page=home, title="Yours").status_code == 404
    assert browser.submit(f"{address}/delete", page=home).status_code == 404
    assert client_of(cast.alice).get(f"/v1/conversations/{mine}").json()["title"] == "Mine"


def test_a_long_list_is_paged(browser: Browser, cast: Cast) -> None:
    principal = cast.alice.principal
    owned = {"workspace_id": principal.workspace.id, "user_id": principal.user_id, "engine": "direct"}
    with tenant_scope(principal.tenant):
        Conversation.objects.bulk_create(Conversation(title=f"Topic {n}", **owned) for n in range(45))
        Conversation.objects.update(last_turn_at=timezone.now())  # none is lost where all are as old
    browser.sign_in("alice")
    page = browser.get(f"{SALES}/chat/").text
    assert page.count('data-testid="conversation-link"') == 40
    older = page.split('class="rail-more" href="')[1].split('"')[0].replace("&amp;", "&")
    assert browser.get(f"{SALES}/chat/{older}").text.count('data-testid="conversation-link"') == 5


@pytest.mark.parametrize("query", ["?q=%00", "?until=nan", "?until=1e400", "?until=x", "?q=" + "a" * 3000])
def test_odd_queries_are_no_fault(browser: Browser, cast: Cast, query: str) -> None:
    assert browser.sign_in("alice").get(f"{SALES}/chat/{query}").status_code == 200
