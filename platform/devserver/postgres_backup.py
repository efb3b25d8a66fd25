"""Backs up the embedded PostgreSQL into one file, and restores a data folder from such a file.

Nothing here needs Django. `python -m devserver.postgres_backup backup|restore FILE` are `make backup` and
`make restore`; docs/backup.md explains what else to back up, and how to back up other databases.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from devserver import embedded_postgres
from kit import env

ROOT = Path(__file__).resolve().parents[2]
RESTORE_JOBS = 2


class BackupFailed(RuntimeError):
    """Nothing was written or restored; the message has the reason and a remedy."""


def back_up(folder: Path, file: Path) -> None:
    """Writes a consistent snapshot of all tenants of the cluster in `folder` to `file`.

    Switchyard may be running. The file appears only when complete, readable only by its owner.
    Raises BackupFailed if `file` exists or there is no cluster.
    """
    if not (folder / "PG_VERSION").exists():
        raise BackupFailed(f"No database in {folder}. Set DATA_DIR or POSTGRES_DIR.")
    _expect_new(file)
    was_running = embedded_postgres.runs(folder)
    url = embedded_postgres.start(folder)
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        _run(folder, "pg_dump", "--format=custom", f"--file={unfinished}", f"--dbname={url}")
        _run(
            folder, "pg_restore", "--list", f"--file={os.devnull}", str(unfinished)
        )  # verifies that it is readable
        unfinished.rename(file)
    finally:
        unfinished.unlink(missing_ok=True)
        if not was_running:
            embedded_postgres.stop_unused(folder)


def restore(folder: Path, file: Path) -> None:
    """Creates the cluster in `folder` from the backup in `file`, completely or not at all.

    Raises BackupFailed if a cluster exists: a restore never overwrites data.
    """
    if not file.is_file():
        raise BackupFailed(f"File not found: {file}.")
    if folder.exists():
        raise BackupFailed(
            f"A database already exists in {folder}. Stop Switchyard, move that folder elsewhere, and "
            "restore again."
        )
    unfinished = folder.with_name(f"{folder.name}.restoring")
    embedded_postgres.stop(unfinished)  # left by a killed restore
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        url = embedded_postgres.start(unfinished)
        into = [f"--dbname={url}", "--no-owner", "--no-privileges"]
        _run(unfinished, "pg_restore", "--exit-on-error", f"--jobs={RESTORE_JOBS}", *into, str(file))
        embedded_postgres.stop(unfinished)
        unfinished.rename(folder)
    finally:
        embedded_postgres.stop(unfinished)
        shutil.rmtree(unfinished, ignore_errors=True)


def _expect_new(file: Path) -> None:
    if file.exists():
        raise BackupFailed(f"{file} already exists. Choose a new file.")
    if not file.parent.is_dir():
        raise BackupFailed(f"Folder not found: {file.parent}.")


def _run(folder: Path, program: str, *arguments: str) -> None:
    command: Sequence[str] = [str(embedded_postgres.programs(folder) / program), *arguments]
    done = subprocess.run(  # noqa: S603 - no shell; the file's name is one argument
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, umask=0o077
    )
    if done.returncode:
        raise BackupFailed(f"{program} failed: {done.stderr.strip()[-2000:]}")


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in {"backup", "restore"} or not arguments[1]:
        sys.stderr.write("usage: make backup FILE=… or make restore FILE=…\n")
        return 2
    try:
        sys.stdout.write(_act(arguments[0], Path(arguments[1]).absolute()) + "\n")
    except (BackupFailed, embedded_postgres.ClusterUnavailable, OSError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


def _act(action: str, file: Path) -> str:
    if env.text("DATABASE_URL"):
        raise BackupFailed("DATABASE_URL names your own PostgreSQL. docs/backup.md has the commands for it.")
    data = Path(env.text("DATA_DIR", str(ROOT / ".data"))).resolve()
    folder = Path(env.text("POSTGRES_DIR", str(data / "postgres"))).resolve()
    if action == "backup":
        back_up(folder, file)
        return f"Backed up {folder} to {file} ({file.stat().st_size:,} bytes)."
    restore(folder, file)
    return f"Restored {folder} from {file}. Start Switchyard with the SECRET_KEY and ENCRYPTION_KEYS it had."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
