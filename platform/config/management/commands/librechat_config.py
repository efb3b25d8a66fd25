"""`manage.py librechat_config`: writes LibreChat's configuration files."""

import os
import re
import tempfile
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from gateway.engines.librechat.configuration import ListenAddress, librechat_env, librechat_yaml
from gateway.engines.librechat.mongo import stack_mongo_url

HOST = re.compile(r"[A-Za-z0-9.:_-]+")
YAML, ENV = "librechat.yaml", ".env"


class Command(BaseCommand):
    help = (
        "Writes LibreChat's librechat.yaml and .env from EGRESS_URL and the first of EGRESS_SECRETS. Can be "
        "repeated: LibreChat's own secrets are generated once, and they, HOST, PORT, DOMAIN_CLIENT, "
        "DOMAIN_SERVER and lines added by others are preserved. Restart LibreChat afterwards."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--output", type=Path, metavar="DIR", help="Folder for both files")
        where.add_argument(
            "--print", choices=["yaml", "env"], help="Print one of them; env includes its secrets"
        )
        parser.add_argument(
            "--mongo-url",
            default="",
            help="URL of LibreChat's MongoDB; default: from the .env, else the stack's own",
        )
        parser.add_argument(
            "--host",
            type=_host,
            help="Address that LibreChat listens on; default: from the .env, else 127.0.0.1. Anyone who can "
            "reach it can register there",
        )
        parser.add_argument("--port", type=_port, help="LibreChat's port; default: from the .env, else 3080")

    def handle(self, *args: Any, **options: Any) -> None:
        env = partial(
            librechat_env,
            secret=_secret(),
            address=ListenAddress(options["host"] or "", options["port"] or ""),
        )
        url = options["mongo_url"]
        try:
            if options["print"]:
                text = _yaml() if options["print"] == "yaml" else env(mongo_url=_mongo_url(url))
                self.stdout.write(text, ending="")
            else:
                self._write_both(options["output"], env, url)
        except ImproperlyConfigured as exc:
            raise CommandError(str(exc)) from exc
        except (OSError, UnicodeDecodeError) as exc:
            raise CommandError(f"The files cannot be written: {exc}") from exc

    def _write_both(self, folder: Path, env: Callable[..., str], mongo_url: str) -> None:
        env_file = folder / ENV
        existing = env_file.read_text() if env_file.exists() else ""
        texts = {YAML: _yaml(), ENV: env(mongo_url=_mongo_url(mongo_url, existing), existing=existing)}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in texts.items():
            changed = _write(folder / name, text)
            self.stdout.write(f"{'Wrote' if changed else 'Unchanged:'} {folder / name}")


def _mongo_url(named: str, existing: str = "") -> str:
    return named or stack_mongo_url(password=settings.MONGO_PASSWORD, existing=existing)


def _secret() -> str:
    if not settings.EGRESS_SECRETS:
        raise CommandError("Set EGRESS_SECRETS: LibreChat sends the first one to the egress.")
    return str(settings.EGRESS_SECRETS[0])


def _yaml() -> str:
    return librechat_yaml(egress_url=settings.EGRESS_URL, most_calls=settings.TURN_MAX_CALLS)


def _host(text: str) -> str:
    if not HOST.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is not an address. Use one such as 127.0.0.1 or ::1.")
    return text


def _port(text: str) -> str:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise ArgumentTypeError(f"{text!r} is not a port. Use a number from 1 to 65535.")
    return text


def _write(path: Path, text: str) -> bool:
    """Writes the file atomically, readable only by its owner; returns whether it changed."""
    if path.exists() and path.read_text() == text:
        path.chmod(0o600)
        return False
    handle, scratch = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # its mode is 600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    return True
