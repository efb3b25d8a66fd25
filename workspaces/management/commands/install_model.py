"""`manage.py install_model`: gives a workspace a model of a provider, and the key that this one asks for."""

import getpass
import os
import re
import sys
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.audit import services as audit
from accounts.models import Tenant, Workspace
from kit.errors import DomainError, InvalidInput
from kit.tenancy import tenant_scope
from workspaces.language_models.models import LanguageModel, ProviderCredential
from workspaces.language_models.queries import BASE_URLS, add_credential, install_model, set_fallback

Kind = ProviderCredential.Kind
SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
LONGEST_NAME, LONGEST_URL, LONGEST_KEY = 100, 500, 10_000
MOST_TOKENS = 2**31 - 1


class Command(BaseCommand):
    help = (
        "Installs a provider's model in a workspace. The key comes from --key-variable or from standard "
        "input, never from the command line; it is encrypted and never shown."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="The tenant's slug")
        parser.add_argument("--workspace", required=True, help="The workspace's slug")
        parser.add_argument("--slug", required=True, help="What clients call the model, as in gpt-4")
        parser.add_argument("--provider", required=True, choices=Kind.values)
        parser.add_argument("--upstream-name", required=True, help="What the provider calls it")
        parser.add_argument("--context-window", required=True, type=int, help="Tokens of prompt and output")
        parser.add_argument(
            "--output-bound", required=True, type=int, help="Tokens of output where a request names none"
        )
        parser.add_argument("--name", default="", help="What people read; unset: the slug")
        parser.add_argument(
            "--base-url", default="", help="Of the provider's API; openai and anthropic have one"
        )
        parser.add_argument(
            "--credential",
            default="",
            metavar="NAME",
            help="Uses the workspace's credential of that name, or calls the new one so; unset: a new one, "
            "called as the provider",
        )
        parser.add_argument(
            "--key-variable", default="", metavar="VARIABLE", help="The environment variable with the key"
        )
        parser.add_argument("--fallback", default="", metavar="SLUG", help="Answers when the provider fails")
        parser.add_argument(
            "--abilities",
            nargs="*",
            default=[LanguageModel.Ability.TOOLS.value],
            choices=LanguageModel.Ability.values,
            help="Capabilities besides text; default: tools",
        )
        parser.add_argument("--disabled", action="store_true", help="Installs it disabled")

    def handle(self, *args: Any, **options: Any) -> None:
        _check_plain(options)
        workspace = _find_workspace(options["tenant"], options["workspace"])
        with tenant_scope(workspace.tenant.ref):  # before anybody is asked for a key
            _expect_models(workspace, options["slug"], options["fallback"])
            known = _known_credential(workspace, options)
        key = "" if known else _read_key(options["key_variable"], options["provider"])
        try:
            with transaction.atomic(), tenant_scope(workspace.tenant.ref):
                _install(workspace, options, known, key)
        except InvalidInput as exc:
            raise CommandError(_words_of(exc)) from exc
        except DomainError as exc:
            raise CommandError(exc.text) from exc
        state = "installed, and disabled" if options["disabled"] else "installed and enabled"
        self.stdout.write(f"{workspace.tenant.slug}/{workspace.slug}: {options['slug']} is {state}.")


def _check_plain(options: dict[str, Any]) -> None:
    """Refuses what the database or a provider would only stumble over."""
    if not SLUG.fullmatch(options["slug"]):
        raise CommandError(
            "--slug must have 1 to 60 lowercase letters, digits, dots, hyphens and underscores."
        )
    for name in ("upstream_name", "name", "credential"):
        text = options[name]
        if len(text) > LONGEST_NAME or not (text.isprintable() and text == text.strip()):
            raise CommandError(
                f"--{name.replace('_', '-')} must have up to {LONGEST_NAME} characters, no spaces around."
            )
    if not options["upstream_name"]:
        raise CommandError("--upstream-name is empty.")
    if options["context_window"] > MOST_TOKENS:
        raise CommandError(f"--context-window must be at most {MOST_TOKENS}.")
    if not 0 < options["output_bound"] < options["context_window"]:
        raise CommandError("--output-bound must be at least 1 and below --context-window.")
    if options["base_url"] or options["provider"] not in BASE_URLS:
        _check_url(options["base_url"])


def _check_url(base_url: str) -> None:
    parts = None
    with suppress(ValueError):
        parts = urlsplit(base_url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CommandError("Set --base-url to the URL of the provider's API, https://…")
    if parts.username or parts.password:
        raise CommandError(
            "--base-url must not contain a password, because it is shown. Enter it as the key."
        )
    if len(base_url) > LONGEST_URL or not base_url.isprintable():
        raise CommandError(f"--base-url must have at most {LONGEST_URL} printable characters.")


def _find_workspace(tenant_slug: str, slug: str) -> Workspace:
    tenant = Tenant.objects.filter(slug=tenant_slug).first()
    if tenant is None:
        raise CommandError(f"No tenant is called {tenant_slug}.")
    places = Workspace.objects.select_related("tenant").filter(tenant=tenant, archived_at=None)
    workspace = places.filter(slug=slug).first()
    if workspace is None:
        raise CommandError(f"{tenant_slug} has no workspace called {slug}.")
    return workspace


def _install(
    workspace: Workspace, options: dict[str, Any], known: ProviderCredential | None, key: str
) -> None:
    """All of it or nothing, with its audit lines; runs in the tenant's schema."""
    slug, fallback = options["slug"], options["fallback"]
    credential = known or add_credential(
        workspace_id=workspace.id,
        name=options["credential"] or options["provider"],
        kind=options["provider"],
        key=key,
        base_url=options["base_url"],
    )
    install_model(
        credential=credential,
        slug=slug,
        name=options["name"],
        upstream_name=options["upstream_name"],
        context_window=options["context_window"],
        output_bound=options["output_bound"],
        abilities=options["abilities"],
        enabled=not options["disabled"],
    )
    if fallback:
        set_fallback(workspace_id=workspace.id, slug=slug, fallback=fallback)
    place: dict[str, Any] = {"tenant_id": workspace.tenant_id, "workspace_id": workspace.id, "via": "command"}
    if known is None:
        audit.record("provider_credential.added", target=credential.name, kind=credential.kind, **place)
    audit.record(
        "language_model.added",
        target=slug,
        provider=credential.kind,
        upstream_name=options["upstream_name"],
        enabled=not options["disabled"],
        fallback=fallback,
        **place,
    )


def _known_credential(workspace: Workspace, options: dict[str, Any]) -> ProviderCredential | None:
    """The one to use again; what is said about it beside its name has to agree."""
    name, provider = options["credential"] or options["provider"], options["provider"]
    known = ProviderCredential.objects.filter(workspace_id=workspace.id, name=name).first()
    if known is None:
        return None
    if not options["credential"]:
        raise CommandError(
            f"A credential called {name} already exists: use it with --credential {name}, or choose "
            "another name for a new key."
        )
    if options["key_variable"]:
        raise CommandError(f"The credential {name} already has its key. Omit --key-variable.")
    if known.kind != provider:
        raise CommandError(f"The credential {name} is for {known.kind}, not for {provider}.")
    if options["base_url"] and options["base_url"].rstrip("/") != known.base_url:
        raise CommandError(f"The credential {name} has another address: {known.base_url}.")
    return known


def _read_key(variable: str, provider: str) -> str:
    """Empty only for a provider that may ask for none."""
    if variable:
        key = os.environ.get(variable, "")
        if not key.strip():
            raise CommandError(f"The environment variable {variable} is not set.")
    elif sys.stdin.isatty():
        key = getpass.getpass("The provider's key (it is not shown): ")
    else:
        key = sys.stdin.read(LONGEST_KEY + 1)
    key = key.strip()
    if not key and provider != Kind.COMPATIBLE:
        raise CommandError("No key was given. Name its variable with --key-variable, or send it on stdin.")
    if len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable()) or " " in key:
        raise CommandError("Not a valid key: use a single line of printable ASCII characters.")
    return key


def _expect_models(workspace: Workspace, slug: str, fallback: str) -> None:
    slugs = set(LanguageModel.objects.filter(workspace_id=workspace.id).values_list("slug", flat=True))
    if slug in slugs:
        raise CommandError(f"A model called {slug} already exists.")
    if fallback and fallback not in slugs:
        raise CommandError(f"No model is called {fallback}, so it cannot be the fallback.")


def _words_of(error: InvalidInput) -> str:
    """What is wrong, field by field."""
    return " ".join(str(text) for texts in error.details.values() for text in texts) or error.text
