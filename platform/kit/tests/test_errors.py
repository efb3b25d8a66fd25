"""The error tree: unique codes, error statuses, a complete drawing."""

import re

import pytest

from gateway.errors import ProviderError
from kit import errors
from kit.api import error_headers


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in errors.all_errors()]
    assert len(codes) == len(set(codes))


def test_the_docstring_draws_every_general_error_with_its_status() -> None:
    drawing = errors.__doc__ or ""
    for kind in (kind for kind in errors.all_errors() if kind.__module__ == errors.__name__):
        assert re.search(rf"─ {kind.__name__} +{kind.status}\b", drawing), kind.__name__


def test_every_error_is_defined_in_an_errors_module() -> None:
    assert {kind.__module__.rpartition(".")[2] for kind in errors.all_errors()} == {"errors"}


def test_every_error_is_documented_for_clients() -> None:
    with open("docs/errors.md") as page:
        documented = set(re.findall(r"^\| `(\w+)` \| (\d+) \|", page.read(), flags=re.MULTILINE))
    assert documented == {(kind.code, str(kind.status)) for kind in errors.all_errors()}


def test_a_stored_error_is_restored_as_it_was() -> None:
    error = ProviderError("gone", provider="local", provider_status=500)
    again = errors.restore(error.as_dict("r1"))
    assert type(again) is ProviderError
    assert (again.text, again.details, again.status) == (error.text, error.details, 502)


def test_an_unknown_stored_code_becomes_an_internal_error() -> None:
    again = errors.restore({"code": "old", "message": "m", "details": {}})
    assert type(again) is errors.InternalError


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (errors.AtCapacity(), "5"),
        (errors.AtCapacity("Busy.", retry_after=2), "2"),
        (errors.RateLimited(retry_after=1.2), "2"),
        (errors.restore(errors.AtCapacity(scope="team").as_dict()), "5"),
        (errors.InvalidInput(retry_after=["There is no such field."]), None),
        (errors.NotFound(), None),
    ],
)
def test_temporary_errors_have_a_retry_after(error: errors.DomainError, header: str | None) -> None:
    assert error_headers(error).get("Retry-After") == header


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.InvalidInput(title=["Too long."], tags=["Too many."]), "title: Too long."),
        (errors.InvalidInput(access={"allow": ["Wrong."]}), "Some fields are not valid."),
        (errors.PayloadTooLarge(most_bytes=1_000_000), "The request is larger than 1 MB."),
        (errors.PayloadTooLarge(most_bytes=64_000), "The request is larger than 64 kB."),
        (errors.PayloadTooLarge(), "The request is too large."),
    ],
)
def test_the_text_has_the_first_field_or_the_limit(error: errors.DomainError, text: str) -> None:
    assert error.text == text
