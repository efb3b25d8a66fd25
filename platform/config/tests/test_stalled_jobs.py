"""Jobs of killed workers run again; the worker itself survives a database outage."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.mail.services import send_mail
from accounts.mail.tests.test_mail import CONTEXT
from accounts.models import OutgoingMail
from gateway.tests.test_jobs import run_worker
from gateway.tests.wait import wait_until
from kit.stalled_jobs import MOST_ATTEMPTS, SILENT_SECONDS

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.django_db(transaction=True)
retry_stalled = app.tasks["accounts.retry_stalled"]


def job(task: str, status: str, *, silent_seconds: int, attempts: int = 0, lock: str | None = None) -> int:
    """A job of a worker whose last heartbeat was this many seconds ago."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - %s * interval '1 second') "
            "RETURNING id",
            [silent_seconds],
        )
        (worker,) = cursor.fetchone()
        cursor.execute(
            "INSERT INTO procrastinate_jobs "
            "(task_name, queue_name, status, worker_id, attempts, queueing_lock) "
            "VALUES (%s, 'default', %s, %s, %s, %s) RETURNING id",
            [task, status, worker, attempts, lock],
        )
        return int(cursor.fetchone()[0])


def state(job_id: int) -> tuple[str, int]:
    return ProcrastinateJob.objects.values_list("status", "attempts").get(id=job_id)


def look() -> None:
    retry_stalled.defer(timestamp=0)
    with connection.cursor() as cursor:  # only this job is due, so the requeued one stays visible
        cursor.execute(
            "UPDATE procrastinate_jobs SET priority = 1 WHERE task_name = 'accounts.retry_stalled'"
        )
    run_worker()


@pytest.mark.parametrize(
    ("silent_seconds", "attempts", "expected"),
    [(31, 0, ("succeeded", 2)), (5, 0, ("doing", 0)), (3600, MOST_ATTEMPTS, ("failed", MOST_ATTEMPTS + 1))],
)
def test_a_job_runs_again_without_its_workers_heartbeat(
    silent_seconds: int, attempts: int, expected: tuple[str, int]
) -> None:
    lost = job("quotas.forget_minutes", "doing", silent_seconds=silent_seconds, attempts=attempts)
    with connection.cursor() as cursor:
        cursor.execute("""UPDATE procrastinate_jobs SET args = '{"timestamp": 0}' WHERE id = %s""", [lost])
    look()
    assert state(lost) == expected


def test_a_periodic_job_with_a_queued_next_run_is_not_requeued() -> None:
    lost = job("gateway.end_graces", "doing", silent_seconds=60, lock="gateway.end_graces")
    app.configure_task("gateway.end_graces").defer(timestamp=0)
    look()
    assert state(lost)[0] == "failed"


def test_a_job_of_a_pruned_worker_runs_again() -> None:
    lost = job("quotas.forget_minutes", "doing", silent_seconds=60)
    with connection.cursor() as cursor:
        cursor.execute("""UPDATE procrastinate_jobs SET args = '{"timestamp": 0}' WHERE id = %s""", [lost])
        cursor.execute("DELETE FROM procrastinate_workers")
    look()
    assert state(lost)[0] == "succeeded"


class SilentServer:
    """A mail server that accepts the connection and stays silent until `let_go`, then works normally."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.called, self.let_go = threading.Event(), threading.Event()
        self.quit_asked, self.answers_quit = threading.Event(), True
        self.messages: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=[client], daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        self.called.set()
        self.let_go.wait()
        with client, client.makefile("rw", newline="\r\n") as talk:

            def say(line: str) -> None:
                talk.write(f"{line}\r\n")
                talk.flush()

            try:
                say("220 here")
                for line in talk:
                    word = line.split(" ")[0].strip().upper()
                    if word == "DATA":
                        say("354 go on")
                        text = "".join(iter(talk.readline, ".\r\n"))
                        self.messages.append(text)
                    if word == "QUIT":
                        self.quit_asked.set()
                        if not self.answers_quit:
                            continue
                    say("221 bye" if word == "QUIT" else "250 ok")
            except OSError:
                return

    def close(self) -> None:
        self.let_go.set()
        self._listener.close()


@contextmanager
def worker_process(mail_port: int) -> Iterator[subprocess.Popen[bytes]]:
    database = connection.settings_dict
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "worker"],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}",
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(mail_port),
            "EMAIL_USE_TLS": "0",
            "EMAIL_TIMEOUT_SECONDS": "60",
        },
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def mail_server(settings: Any) -> Iterator[SilentServer]:
    settings.EMAIL_BACKEND = "accounts.mail.queue.QueueBackend"
    server = SilentServer()
    yield server
    server.close()


@pytest.mark.slow
def test_a_mail_of_a_killed_worker_arrives_once_within_a_minute(
    mail_server: SilentServer,
) -> None:
    """Without any help, the next worker finds the job by the missing heartbeat of the first."""
    send_mail("invitation", "erin@example.com", CONTEXT)
    with worker_process(mail_server.port) as worker:
        assert mail_server.called.wait(30)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    killed_at = time.monotonic()
    assert OutgoingMail.objects.get().sent_at is None
    mail_server.let_go.set()
    with worker_process(mail_server.port):
        wait_until(lambda: OutgoingMail.objects.get().sent_at is not None, 60)
        assert time.monotonic() - killed_at > SILENT_SECONDS - 11  # its last heartbeat is up to 10 s older
    assert len(mail_server.messages) == 1
    assert OutgoingMail.objects.get().attempts == 2


@pytest.mark.slow
def test_a_mail_is_recorded_as_sent_before_quit(mail_server: SilentServer) -> None:
    """A slow QUIT must not leave time in which a kill makes the mail go out twice."""
    mail_server.answers_quit = False
    mail_server.let_go.set()
    send_mail("invitation", "erin@example.com", CONTEXT)
    with worker_process(mail_server.port):
        assert mail_server.quit_asked.wait(30)
        assert OutgoingMail.objects.get().sent_at is not None


@pytest.mark.slow
def test_a_worker_that_loses_its_connections_continues(mail_server: SilentServer) -> None:
    mail_server.let_go.set()
    with worker_process(mail_server.port) as worker:
        wait_until(lambda: sessions_of_the_worker() > 0, 30)
        for _ in range(3):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            wait_until(lambda: sessions_of_the_worker() > 0, 30)
        send_mail("invitation", "erin@example.com", CONTEXT)
        wait_until(lambda: OutgoingMail.objects.get().sent_at is not None, 30)
        assert worker.poll() is None
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0


def sessions_of_the_worker() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query ILIKE 'LISTEN%'"
        )
        return int(cursor.fetchone()[0])
