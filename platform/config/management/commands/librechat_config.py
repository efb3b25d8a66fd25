"""`manage.py librechat_config`: writes the files that LibreChat is started with."""

import os
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from gateway.engines.librechat.configuration import librechat_env, librechat_yaml
from gateway.engines.librechat.mongo import stack_mongo_url

YAML, ENV = "librechat.yaml", ".env"


class Command(BaseCommand):
    help = (
        "Writes LibreChat's librechat.yaml and .env from EGRESS_URL and the first of EGRESS_SECRETS. Can be "
        "repeated: LibreChat's own secrets are made once and kept. Restart LibreChat afterwards."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--output", type=Path, metavar="DIR", help="The folder that gets both files")
        where.add_argument("--print", choices=["yaml", "env"], help="Shows one of them, with its secrets")
        parser.add_argument(
            "--mongo-url",
            default="",
            help="LibreChat's MongoDB; unset: as the .env says, else the stack's own",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["print"]:
                self.stdout.write(_shown(options["print"], options["mongo_url"]), ending="")
            else:
                self._write_both(options["output"], options["mongo_url"])
        except ImproperlyConfigured as exc:
            raise CommandError(str(exc)) from exc
        except (OSError, UnicodeDecodeError) as exc:
            raise CommandError(f"The files cannot be written: {exc}") from exc

    def _write_both(self, folder: Path, mongo_url: str) -> None:
        env_file = folder / ENV
        existing = env_file.read_text() if env_file.exists() else ""
        mongo_url = mongo_url or stack_mongo_url(password=settings.MONGO_PASSWORD, existing=existing)
        texts = {YAML: _yaml(), ENV: librechat_env(mongo_url=mongo_url, existing=existing)}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in texts.items():
            changed = _write(folder / name, text)
            self.stdout.write(f"{'Wrote' if changed else 'Unchanged:'} {folder / name}")


def _shown(kind: str, mongo_url: str) -> str:
    mongo_url = mongo_url or stack_mongo_url(password=settings.MONGO_PASSWORD, existing="")
    return _yaml() if kind == "yaml" else librechat_env(mongo_url=mongo_url)


def _yaml() -> str:
    if not settings.EGRESS_SECRETS:
        raise ImproperlyConfigured("Set EGRESS_SECRETS: LibreChat shows its first one at the egress.")
    return librechat_yaml(
        egress_url=settings.EGRESS_URL, secret=settings.EGRESS_SECRETS[0], most_calls=settings.TURN_MAX_CALLS
    )


def _write(path: Path, text: str) -> bool:
    """Whole or not at all, readable by its owner alone; whether anything had to change."""
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
