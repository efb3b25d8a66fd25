"""`manage.py install_model`: installs a provider's model in a workspace, with the provider's API key."""

import getpass
import os
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
from workspaces.language_models.installation import BASE_URLS, add_credential, install_model, set_fallback
from workspaces.language_models.models import LanguageModel, ProviderCredential
from workspaces.slugs import MODEL_SLUGS

Kind = ProviderCredential.Kind
LONGEST_NAME, LONGEST_URL, LONGEST_KEY = 100, 500, 10_000
MOST_TOKENS = 2**31 - 1


class Command(BaseCommand):
    help = (
        "Installs a provider's model in a workspace. The key is read from --key-variable or from standard "
        "input, never from the command line; it is stored encrypted and never shown."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="The tenant's slug")
        parser.add_argument("--workspace", required=True, help="The workspace's slug")
        parser.add_argument(
            "--slug", required=True, help="The model's name in API calls, for example openai/gpt-4o"
        )
        parser.add_argument("--provider", required=True, choices=Kind.values)
        parser.add_argument("--upstream-name", required=True, help="The model's name at the provider")
        parser.add_argument(
            "--context-window", required=True, type=int, help="Tokens of prompt and output together"
        )
        parser.add_argument(
            "--output-bound",
            type=int,
            default=0,
            help="Output tokens if a request sets no limit; required for a chat model",
        )
        parser.add_argument(
            "--kind",
            choices=LanguageModel.Kind.values,
            default=LanguageModel.Kind.CHAT.value,
            help="What the model is used for; default: chat",
        )
        parser.add_argument("--name", default="", help="The name shown to people; default: the slug")
        parser.add_argument(
            "--base-url", default="", help="URL of the provider's API; not needed for openai and anthropic"
        )
        parser.add_argument(
            "--credential",
            default="",
            metavar="NAME",
            help="Uses the workspace's credential of that name, or creates it; default: a new one, named "
            "after the provider",
        )
        parser.add_argument(
            "--key-variable",
            default="",
            metavar="VARIABLE",
            help="The environment variable that holds the key",
        )
        parser.add_argument(
            "--fallback", default="", metavar="SLUG", help="The model to use if the provider fails"
        )
        parser.add_argument(
            "--abilities",
            nargs="*",
            default=None,
            choices=LanguageModel.Ability.values,
            help="What a chat model can do in addition to text; default: tools",
        )
        parser.add_argument("--disabled", action="store_true", help="No one can use it until it is enabled")

    def handle(self, *args: Any, **options: Any) -> None:
        _check_plain(options)
        workspace = _find_workspace(options["tenant"], options["workspace"])
        with tenant_scope(workspace.tenant.ref):  # before asking for a key
            _expect_models(workspace, options["slug"], options["fallback"])
            known = _known_credential(workspace, options)
        key = "" if known else _read_key(options["key_variable"], options["provider"])
        try:
            with transaction.atomic(), tenant_scope(workspace.tenant.ref):
                _install(workspace, options, known, key)
        except InvalidInput as exc:
            raise CommandError(_text_of(exc)) from exc
        except DomainError as exc:
            raise CommandError(exc.text) from exc
        state = "installed, and disabled" if options["disabled"] else "installed and enabled"
        self.stdout.write(f"{workspace.tenant.slug}/{workspace.slug}: {options['slug']} is {state}.")


def _check_plain(options: dict[str, Any]) -> None:
    """Refuses options that the database or the provider would reject later."""
    if problem := MODEL_SLUGS.problem(options["slug"]):
        raise CommandError(f"--slug: {problem}")
    for name in ("upstream_name", "name", "credential"):
        text = options[name]
        if len(text) > LONGEST_NAME or not (text.isprintable() and text == text.strip()):
            raise CommandError(
                f"--{name.replace('_', '-')} must have at most {LONGEST_NAME} printable characters, without "
                "spaces at its ends."
            )
    if not options["upstream_name"]:
        raise CommandError("--upstream-name is empty.")
    if options["context_window"] > MOST_TOKENS:
        raise CommandError(f"--context-window must be at most {MOST_TOKENS}.")
    is_chat = options["kind"] == LanguageModel.Kind.CHAT
    for name in ("output_bound", "abilities", "fallback"):
        if options[name] and not is_chat:
            raise CommandError(f"--{name.replace('_', '-')} is for chat models only.")
    if is_chat and not 0 < options["output_bound"] < options["context_window"]:
        raise CommandError("--output-bound must be at least 1 and less than --context-window.")
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
            "--base-url contains a password, and is shown in plain text: pass the password as the key."
        )
    if len(base_url) > LONGEST_URL or not base_url.isprintable():
        raise CommandError(f"--base-url must have at most {LONGEST_URL} printable characters.")


def _find_workspace(tenant_slug: str, slug: str) -> Workspace:
    tenant = Tenant.objects.filter(slug=tenant_slug).first()
    if tenant is None:
        raise CommandError(f"No tenant is called {tenant_slug}.")
    active = Workspace.objects.select_related("tenant").filter(tenant=tenant, archived_at=None)
    workspace = active.filter(slug=slug).first()
    if workspace is None:
        raise CommandError(f"{tenant_slug} has no workspace called {slug}.")
    return workspace


def _install(
    workspace: Workspace, options: dict[str, Any], known: ProviderCredential | None, key: str
) -> None:
    """Installs all of it or nothing, with its audit entries; in the tenant's schema."""
    slug, fallback = options["slug"], options["fallback"]
    credential = known or add_credential(
        workspace_id=workspace.id,
        name=options["credential"] or options["provider"],
        kind=options["provider"],
        key=key,
        base_url=options["base_url"],
    )
    row = install_model(
        credential=credential,
        slug=slug,
        name=options["name"],
        upstream_name=options["upstream_name"],
        context_window=options["context_window"],
        output_bound=options["output_bound"],
        kind=options["kind"],
        abilities=_abilities(options),
        enabled=not options["disabled"],
    )
    if fallback:
        set_fallback(workspace_id=workspace.id, slug=slug, fallback=fallback)
    origin: dict[str, Any] = {
        "tenant_id": workspace.tenant_id,
        "workspace_id": workspace.id,
        "via": "command",
    }
    if known is None:
        audit.record("provider_credential.added", target=credential.name, kind=credential.kind, **origin)
    audit.record(
        "language_model.added",
        target=slug,
        id=str(row.id),
        provider=credential.kind,
        upstream_name=options["upstream_name"],
        kind=options["kind"],
        enabled=not options["disabled"],
        fallback=fallback,
        **origin,
    )


def _abilities(options: dict[str, Any]) -> list[str]:
    if options["abilities"] is not None:
        named: list[str] = options["abilities"]
        return named
    return [LanguageModel.Ability.TOOLS.value] if options["kind"] == LanguageModel.Kind.CHAT else []


def _known_credential(workspace: Workspace, options: dict[str, Any]) -> ProviderCredential | None:
    """The existing credential to use; the other options must agree with it. None: create one."""
    name, provider = options["credential"] or options["provider"], options["provider"]
    known = ProviderCredential.objects.filter(workspace_id=workspace.id, name=name).first()
    if known is None:
        return None
    if not options["credential"]:
        raise CommandError(
            f"A credential named {name} exists. Use it with --credential {name}, or choose another name "
            "for a new key."
        )
    if options["key_variable"]:
        raise CommandError(f"The credential {name} already has a key: leave out --key-variable.")
    if known.kind != provider:
        raise CommandError(f"The credential {name} is for {known.kind}, not for {provider}.")
    if options["base_url"] and options["base_url"].rstrip("/") != known.base_url:
        raise CommandError(f"The credential {name} has another address: {known.base_url}.")
    return known


def _read_key(variable: str, provider: str) -> str:
    """Empty only for a provider that may need none."""
    if variable:
        key = os.environ.get(variable, "")
        if not key.strip():
            raise CommandError(f"The environment variable {variable} is not set.")
    elif sys.stdin.isatty():
        key = getpass.getpass("The provider's API key (not shown): ")
    else:
        key = sys.stdin.read(LONGEST_KEY + 1)
    key = key.strip()
    if not key and provider != Kind.COMPATIBLE:
        raise CommandError(
            "No key: name its environment variable with --key-variable, or pipe it to standard input."
        )
    if len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable()) or " " in key:
        raise CommandError("A key must be a single line of printable ASCII characters.")
    return key


def _expect_models(workspace: Workspace, slug: str, fallback: str) -> None:
    models = LanguageModel.objects.filter(workspace_id=workspace.id)
    if models.filter(slug__iexact=slug).exists():
        raise CommandError(f"The name {slug} is taken. Choose another.")
    if fallback and not models.filter(slug=fallback).exists():
        raise CommandError(f"The fallback model {fallback} is not installed.")


def _text_of(error: InvalidInput) -> str:
    """Every field's problems in one line."""
    return " ".join(str(text) for texts in error.details.values() for text in texts) or error.text
