"""`make backup` and `make restore` never overwrite anything, and work completely or not at all."""

import stat
from pathlib import Path

import psycopg
import pytest

from devserver import embedded_postgres, postgres_backup
from devserver.postgres_backup import BackupFailed, back_up, restore

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a stopped cluster, which is stopped again afterwards."""
    here = tmp_path_factory.mktemp("backup")
    folder, file = here / "postgres", here / "switchyard.dump"
    url = embedded_postgres.start(folder)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA t_one; CREATE TABLE t_one.stored AS SELECT 42 AS answer")
    embedded_postgres.stop(folder)
    back_up(folder, file)
    assert not embedded_postgres.runs(folder)
    return file


def answer_in(folder: Path) -> int:
    try:
        with psycopg.connect(embedded_postgres.start(folder)) as connection:
            return int(connection.execute("SELECT answer FROM t_one.stored").fetchone()[0])  # type: ignore[index]
    finally:
        embedded_postgres.stop(folder)


def test_a_backup_is_restored(backup: Path, tmp_path: Path) -> None:
    restore(tmp_path / "postgres", backup)
    assert answer_in(tmp_path / "postgres") == 42
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["postgres"]


def test_a_backup_is_readable_only_by_its_owner(backup: Path) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


def test_a_backup_overwrites_no_file(backup: Path) -> None:
    before = backup.read_bytes()
    with pytest.raises(BackupFailed, match="already exists"):
        back_up(backup.parent / "postgres", backup)
    assert backup.read_bytes() == before


def test_a_restore_overwrites_no_database(backup: Path) -> None:
    with pytest.raises(BackupFailed, match="move that folder"):
        restore(backup.parent / "postgres", backup)
    assert answer_in(backup.parent / "postgres") == 42


@pytest.mark.parametrize("damage", [b"no dump at all", None])
def test_a_damaged_backup_restores_nothing(backup: Path, tmp_path: Path, damage: bytes | None) -> None:
    file, folder = tmp_path / "damaged.dump", tmp_path / "data" / "postgres"
    file.write_bytes(damage or backup.read_bytes()[:-200])
    folder.parent.mkdir()
    with pytest.raises(BackupFailed, match="pg_restore failed"):
        restore(folder, file)
    assert not [path for path in folder.parent.iterdir() if not path.name.startswith(".")]


def test_remains_of_a_killed_restore_are_removed(backup: Path, tmp_path: Path) -> None:
    embedded_postgres.start(tmp_path / "postgres.restoring")
    restore(tmp_path / "postgres", backup)
    assert answer_in(tmp_path / "postgres") == 42


@pytest.mark.parametrize("arguments", [[], ["backup"], ["backup", ""], ["dump", "x"]])
def test_invalid_arguments_print_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert postgres_backup.main(arguments) == 2
    assert "make backup FILE=" in capsys.readouterr().err


def test_a_database_url_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:secret@db.example/x")
    assert postgres_backup.main(["backup", str(tmp_path / "x.dump")]) == 1
    assert "docs/backup.md" in (said := capsys.readouterr().err)
    assert "secret" not in said
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_cannot_be_backed_up(tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="No database"):
        back_up(tmp_path / "postgres", tmp_path / "x.dump")
    assert not list(tmp_path.iterdir())


def test_the_cluster_has_enough_locks_for_two_thousand_tenants(backup: Path) -> None:
    folder = backup.parent / "postgres"
    with psycopg.connect(embedded_postgres.start(folder)) as connection:
        settings = "max_locks_per_transaction", "max_connections"
        found = [connection.execute(f"SHOW {name}").fetchone() for name in settings]
    locks, connections = (int(row[0]) for row in found if row)
    assert locks * connections >= 2000 * 50
    embedded_postgres.stop(folder)
