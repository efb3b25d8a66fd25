"""The pages of prompts: written by a form without script, found, compared, rolled back, removed."""

from typing import Any

import pytest
from django.test import Client

from accounts.tests.cast import Cast, Person

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
    "variable_options": ["", "warm, cool", ""],
    "variable_required": ["yes", "no", "yes"],
}


def browser(person: Person) -> Client:
    client = Client()
    client.force_login(person.user)
    return client


def page(client: Client, path: str = "", **sent: Any) -> Any:
    where = f"/t/acme/w/sales/prompts{path}"
    return client.post(where, sent, follow=True) if sent else client.get(where)


def test_a_prompt_is_written_by_a_form(cast: Cast) -> None:
    bob = browser(cast.bob)
    assert "No prompts yet" in page(bob).content.decode()
    made = page(bob, "/new", **FORM).content.decode()
    assert "Write to {{name}} in {{tone}}." in made
    assert "warm, cool" in made
    assert "#customers" in page(bob).content.decode()


def test_what_is_wrong_is_told_and_nothing_is_lost(cast: Cast) -> None:
    told = page(browser(cast.bob), "/new", **{**FORM, "variable_default": ["", "hot", ""]}).content.decode()
    assert "tone: Choose one of: warm, cool." in told
    assert 'value="hot"' in told


def test_versions_are_compared_and_rolled_back(cast: Cast) -> None:
    bob = browser(cast.bob)
    page(bob, "/new", **FORM)
    page(bob, "/letter/edit", **{**FORM, "text": "Call {{name}}.", "note": "By phone"})
    told = page(bob, "/letter?before=1&after=2").content.decode()
    assert "+Call {{name}}." in told
    assert "By phone" in told
    page(bob, "/letter/versions/1", go="1")
    assert "Version 1 again" in page(bob, "/letter").content.decode()
    assert page(bob, "/letter?before=1&after=77").status_code == 404


def test_others_may_not_edit_and_strangers_see_nothing(cast: Cast) -> None:
    page(browser(cast.alice), "/new", **FORM)
    assert page(browser(cast.bob), "/letter/edit").status_code == 403
    assert page(browser(cast.dana), "/letter").status_code == 404
    assert page(browser(cast.charlie), "/letter").status_code == 404


def test_the_composer_is_told_of_favourites_first(cast: Cast) -> None:
    bob = browser(cast.bob)
    page(bob, "/new", **FORM)
    page(bob, "/new", **{**FORM, "slug": "other", "title": "Another"})
    page(bob, "/letter/favourite", liked="1")
    offered = page(bob, "/composer?find=").json()["data"]
    assert [row["slug"] for row in offered] == ["letter", "other"]
    url = offered[0]["render_url"]
    assert bob.post(url, {"name": "Ada"}).json() == {"text": "Write to Ada in warm."}
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
