"""`manage.py create_tenant`: a tenant for somebody who does not sign up; stands before django-tenants'."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from kit.errors import DomainError
from workspaces.onboarding import FIRST_WORKSPACE, open_tenant_for


class Command(BaseCommand):
    help = (
        "Makes a tenant with its first workspace, the local model and a budget. An owner who has no account "
        "yet gets one without a password, and sets it by “Forgotten?” on the sign-in page."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="The team's name, as in “Acme Works”")
        parser.add_argument("owner", help="The owner's e-mail address")
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
