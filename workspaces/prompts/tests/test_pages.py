"""The pages of prompts, without script: the form, search, versions and removal."""

from typing import Any

import pytest
from django.test import Client

from accounts.tests.cast import Cast, Person
from accounts.tests.filled import filled
from accounts.tests.requests_as import As

pytestmark = pytest.mark.django_db
FORM = {
    "title": "A letter",
    "slug": "letter",
    "text": "Write to {{name}} in {{tone}}.",
    "visibility": "workspace",
    "tags": "mail, customers",
    "variable_name": ["name", "tone", ""],
    "variable_type": ["text", "choice", "text"],
    "variable_label": ["Whom", "", ""],
    "variable_default": ["", "warm", ""],
    "variable_options": ["", "warm\r\ncool", ""],
    "variable_required": ["yes", "no", "yes"],
}


def browser(person: Person) -> Client:
    client = Client()
    client.force_login(person.user)
    return client


def page(client: Client, path: str = "", **sent: Any) -> Any:
    path_ = f"/t/acme/w/sales/prompts{path}"
    return client.post(path_, sent, follow=True) if sent else client.get(path_)


def test_a_prompt_is_created_by_a_form(cast: Cast) -> None:
    bob = browser(cast.bob)
    assert "No prompts yet" in page(bob).content.decode()
    made = page(bob, "/new", **FORM).content.decode()
    assert "Write to {{name}} in {{tone}}." in made
    assert "warm · cool" in made
    assert "#customers" in page(bob).content.decode()


def test_a_title_is_normalised_by_rest_and_by_the_form(cast: Cast) -> None:
    bob, where = As(cast.bob), "workspaces/sales/prompts"
    rest = {"slug": "rest", "title": " a    b", "text": "One\r\ntwo"}
    assert bob.ask("POST", where, rest).json()["title"] == "a b"
    page(browser(cast.bob), "/new", **{**FORM, "title": " a    b"})
    assert bob.ask("GET", f"{where}/letter").json()["title"] == "a b"


def test_a_refused_form_says_why_and_keeps_the_input(cast: Cast) -> None:
    text = page(browser(cast.bob), "/new", **{**FORM, "variable_default": ["", "hot", ""]}).content.decode()
    assert "tone: Choose one of: warm, cool." in text
    assert "\nhot</textarea>" in text


def test_versions_are_compared_and_rolled_back(cast: Cast) -> None:
    bob = browser(cast.bob)
    page(bob, "/new", **FORM)
    page(bob, "/letter/edit", **{**FORM, "text": "Call {{name}}.", "note": "By phone"})
    text = page(bob, "/letter?before=1&after=2").content.decode()
    assert "+Call {{name}}." in text
    assert "By phone" in text
    page(bob, "/letter/versions/1", go="1")
    assert "Version 1 again" in page(bob, "/letter").content.decode()
    assert page(bob, "/letter?before=1&after=77").status_code == 404


ODD = [
    {"name": "city", "type": "choice", "options": ["Paris, France", "Rome, Italy"], "default": "Rome, Italy"},
    {"name": "list", "type": "multiline", "default": "\n- one\n\n- two\n"},
    {"name": "dos", "type": "multiline", "default": "one\r\ntwo", "required": False},
    {"name": "gap", "default": "  between  ", "label": "A  gap"},
    {"name": "none", "default": ""},
    {"name": "many", "type": "number", "default": 1e-07},
    {"name": "zero", "type": "number", "default": 0},
    {"name": "off", "type": "boolean", "default": False},
    {"name": "broken", "type": "choice", "options": ["a\nb", "c"]},
]


@pytest.mark.parametrize(
    "text", ["\nOne\n\n  two\n", "One\r\ntwo", "a\rb", "One\u2028two <b> &amp; {{city}}"]
)
def test_a_new_title_changes_nothing_else(cast: Cast, text: str) -> None:
    prompt = {"slug": "odd", "title": "Odd", "description": "Two\nlines", "text": text, "variables": ODD}
    where, tags = "workspaces/sales/prompts", [f"{'x' * 37}{number}" for number in range(18)]
    before = As(cast.bob).ask("POST", where, prompt | {"tags": [*tags, "a, b"]}).json()
    bob = browser(cast.bob)
    form = filled(page(bob, "/odd/edit").content.decode(), "variable_name")
    assert "Saved." in page(bob, "/odd/edit", **form | {"title": ["Odder"]}).content.decode()
    after = As(cast.bob).ask("GET", f"{where}/odd").json()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"title", "updated_at"}


def test_an_edited_variable_changes_and_the_others_stay(cast: Cast) -> None:
    bob, where = browser(cast.bob), "workspaces/sales/prompts"
    prompt = {"slug": "odd", "title": "Odd", "text": "{{city}} {{gap}}", "variables": [ODD[0], ODD[3]]}
    before = As(cast.bob).ask("POST", where, prompt).json()["variables"]
    form = filled(page(bob, "/odd/edit").content.decode(), "variable_name")
    form["variable_options"][0] += "\r\nBonn, Germany"
    page(bob, "/odd/edit", **form)
    city, gap = As(cast.bob).ask("GET", f"{where}/odd").json()["variables"]
    assert (city["options"], gap) == (["Paris, France", "Rome, Italy", "Bonn, Germany"], before[1])
    diff = As(cast.bob).ask("GET", f"{where}/odd/diff/1/2").json()["data"]
    assert [line.startswith(("+{{city}}", "-{{city}}")) for line in diff].count(True) == 2


def test_a_long_text_of_many_lines_fits_the_form(cast: Cast) -> None:
    text = page(browser(cast.bob), "/new", **{**FORM, "text": "x\r\n" * 50_000})
    assert "Saved." in text.content.decode()


def test_others_cannot_edit_and_outsiders_see_nothing(cast: Cast) -> None:
    page(browser(cast.alice), "/new", **FORM)
    assert page(browser(cast.bob), "/letter/edit").status_code == 403
    assert page(browser(cast.dana), "/letter").status_code == 404
    assert page(browser(cast.charlie), "/letter").status_code == 404


def test_the_composer_lists_favourites_first(cast: Cast) -> None:
    bob = browser(cast.bob)
    page(bob, "/new", **FORM)
    page(bob, "/new", **{**FORM, "slug": "other", "title": "Another"})
    page(bob, "/letter/favourite", liked="1")
    offered = page(bob, "/composer?find=").json()["data"]
    assert [row["slug"] for row in offered] == ["letter", "other"]
    url = offered[0]["render_url"]
    assert bob.post(url, {"name": "Ada"}).json() == {"text": "Write to Ada in warm."}
    assert bob.post(url, {"name": "Ada", "tone": " cool "}).json() == {"text": "Write to Ada in cool."}
    refused = bob.post(url, {"tone": "hot"})
    assert refused.status_code == 422
    assert set(refused.json()["error"]["details"]) == {"variables.name", "variables.tone"}


def test_a_removed_prompt_is_gone(cast: Cast) -> None:
    bob = browser(cast.bob)
    page(bob, "/new", **FORM)
    assert "Removed." in page(bob, "/letter/remove", go="1").content.decode()
    assert page(bob, "/letter").status_code == 404


@pytest.mark.parametrize("query", ["?find=%00", "?tag=%00", "?after=nonsense", "?find=%E2%82"])
def test_nonsense_in_the_address_is_harmless(cast: Cast, query: str) -> None:
    assert page(browser(cast.bob), query).status_code == 200
