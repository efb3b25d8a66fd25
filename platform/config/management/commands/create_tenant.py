"""`manage.py create_tenant`: a tenant for someone who does not sign up; overrides django-tenants' command."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from kit.errors import DomainError
from workspaces.inputs import FIRST_WORKSPACE
from workspaces.onboarding import open_tenant_for


class Command(BaseCommand):
    help = (
        "Creates a tenant with a workspace, the local model and a budget. An owner who has no account "
        "yet gets one without a password, and sets it by “Forgotten?” on the sign-in page."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="The team's name, as in “Acme Works”")
        parser.add_argument("owner", help="The owner's email address")
        parser.add_argument("--name", default="", help="The owner's name, for a new account")
        parser.add_argument("--workspace", default=FIRST_WORKSPACE, help="The first workspace's name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            validate_email(options["owner"])
            opened = open_tenant_for(
                email=options["owner"],
                name=options["name"],
                tenant_name=options["tenant"],
                workspace_name=options["workspace"],
            )
        except ValidationError as exc:
            raise CommandError("The owner's address is not valid.") from exc
        except DomainError as exc:
            raise CommandError(exc.text) from exc
        self.stdout.write(f"{opened.tenant.slug}/{opened.workspace.slug}")
