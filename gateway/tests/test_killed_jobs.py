"""Every kind of job, killed before each of its statements and run again, succeeds and repeats nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from asgiref.sync import async_to_sync
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken

from accounts.audit.refusals import record_refusal
from accounts.mail.queue import deliver_mail
from accounts.mail.services import send_mail
from accounts.mail.tests.test_mail import CONTEXT, MailServer
from accounts.models import AuditEntry, Departure, OutgoingMail, Refusal, Tenant, Workspace
from accounts.tests.cast import Cast
from accounts.tests.requests_as import As
from gateway.conversations.images import store_image
from gateway.engines.base import Thread
from gateway.engines.registry import engine_named
from gateway.models import Conversation, EngineServer, Image, Message, Turn
from gateway.tests.conformance.conftest import egress, replay, replayed  # noqa: F401 - fixtures
from gateway.tests.events import read_events, send
from gateway.tests.pictures import picture
from gateway.tests.real_mcp import RealMCP
from gateway.tests.replayed_librechat import ReplayedLibreChat
from gateway.tests.stored import store_turn
from gateway.tests.tool_setup import MODEL, install_calculator
from kit.images import NewPicture
from kit.tenancy import tenant_scope
from kit.tests.ports import free_port
from quotas.hold_states import mark_sent
from quotas.ledger_audit import check_ledger
from quotas.models import Budget, BudgetWindow, UsageRecord
from quotas.tests.ledger import limit_to, note_streamed
from quotas.tests.test_holds import held, opened
from workspaces.models import MCPServer, Tool

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
PERIODIC = {"timestamp": 0}
KILLED: set[str] = set()  # the kinds of jobs that this module has killed


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment variables of the processes that run the job."""
    database = connection.settings_dict
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
        "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}",
    }


@pytest.fixture
def librechat_environment(
    replayed: ReplayedLibreChat,  # noqa: F811
    environment: dict[str, str],
    settings: Any,
) -> dict[str, str]:
    return environment | {
        "ENGINE": "librechat",
        "LIBRECHAT_URL": settings.LIBRECHAT_URL,
        "EGRESS_URL": settings.EGRESS_URL,
        "EGRESS_SECRETS": settings.EGRESS_SECRETS[0],
    }


def kill_at_each_statement(task: str, environment: dict[str, str], **arguments: Any) -> int:
    """Returns how many runs were killed before one finished."""
    command = [sys.executable, "-m", "config.tests.kill_at_each_statement", task, json.dumps(arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    kills = int(done.stdout.splitlines()[-1])
    assert kills > 0, "the job ran no statement"
    KILLED.add(task)
    return kills


@pytest.fixture
def post(settings: Any) -> Iterator[tuple[MailServer, int]]:
    settings.EMAIL_BACKEND = "accounts.mail.queue.QueueBackend"
    handler = MailServer()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield handler, controller.port
    controller.stop()


def test_a_mail_is_sent_again_only_if_killed_right_after_the_server_accepted_it(
    post: tuple[MailServer, int], environment: dict[str, str]
) -> None:
    server, port = post
    send_mail("invitation", "erin@example.com", CONTEXT)
    environment |= {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": str(port), "EMAIL_USE_TLS": "0"}
    kill_at_each_statement("accounts.deliver_mail", environment, mail_id=str(OutgoingMail.objects.get().id))
    assert OutgoingMail.objects.get().sent_at is not None
    ids = [_message_id(envelope.content) for envelope in server.taken]
    assert len(ids) > 1  # one kill came between the server's 250 and its record
    assert len(set(ids)) == 1
    deliver_mail(mail_id=str(OutgoingMail.objects.get().id))
    assert len(server.taken) == len(ids)


def _message_id(content: bytes) -> bytes:
    return next(line for line in content.splitlines() if line.lower().startswith(b"message-id:"))


def test_a_lost_turn_is_ended_and_charged_once(cast: Cast, environment: dict[str, str]) -> None:
    limit_to(cast.alice, 1000)
    turn_id = opened(cast, lease=-60)
    call_id = held(turn_id)
    mark_sent(call_id=call_id)
    note_streamed(call_id=call_id, streamed_tokens=7)
    owner = {"workspace_id": cast.alice.principal.workspace.id, "user_id": cast.alice.principal.user_id}
    with tenant_scope(cast.alice.principal.tenant):
        conversation = Conversation.objects.create(engine="direct", **owner)
        fields = {"kind": Turn.Kind.CHAT, "engine": "direct", "parts": [{"type": "text", "text": "One two"}]}
        Turn.objects.create(id=turn_id, conversation=conversation, decision={}, **fields, **owner)
    kill_at_each_statement("gateway.recover_turns", environment, **PERIODIC)
    charged = UsageRecord.objects.get()
    assert BudgetWindow.objects.get().reserved == 0
    assert check_ledger().differences == []
    with tenant_scope(cast.alice.principal.tenant):
        assert Turn.objects.get().finish_reason == "interrupted"
        assert Message.objects.get().content == "One two"
        total = charged.input_tokens + charged.output_tokens
        assert Conversation.objects.get().total_tokens == total > 0


def test_a_deleted_workspace_is_emptied_and_audited_once_with_all_its_conversations(
    cast: Cast, environment: dict[str, str]
) -> None:
    for _ in range(3):
        store_turn(cast.dana)
    As(cast.alice).ask("DELETE", "workspaces/ops")
    Workspace.objects.filter(slug="ops").update(delete_after=timezone.now())
    kill_at_each_statement("gateway.end_graces", environment, **PERIODIC)
    assert Workspace.objects.get(slug="ops").deleted_at is not None
    with tenant_scope(cast.dana.principal.tenant):
        assert not Conversation.objects.filter(user_id=cast.dana.principal.user_id).exists()
    assert AuditEntry.objects.get(action="workspace.emptied").details == {"conversations": 3}


def test_a_leavers_data_is_deleted_and_audited_once_with_its_count(
    cast: Cast, environment: dict[str, str]
) -> None:
    Tenant.objects.filter(slug="acme").update(departed_conversations="delete")
    store_turn(cast.bob)
    store_turn(cast.bob)
    prompt = {"slug": "mine", "title": "T", "text": "Text", "visibility": "me"}
    assert As(cast.bob).ask("POST", "workspaces/sales/prompts", prompt).status_code == 201
    As(cast.alice).ask("DELETE", f"tenant/members/{cast.bob.principal.user_id}")
    Departure.objects.update(delete_after=timezone.now())
    kill_at_each_statement("gateway.end_graces", environment, **PERIODIC)
    assert not Departure.objects.exists()
    details = AuditEntry.objects.get(action="member.conversations_deleted").details
    assert details == {"conversations": 2, "prompts": 1}


def test_a_title_and_a_deletion_reach_the_engine(
    replayed: ReplayedLibreChat,  # noqa: F811
    client_of: Any,
    cast: Cast,
    librechat_environment: dict[str, str],
) -> None:
    environment = librechat_environment
    conversation_id = send(client_of(cast.alice), "hi").json()["conversation_id"]
    tenant = cast.alice.principal.tenant
    with tenant_scope(tenant):
        Conversation.objects.update(title="Renamed")
        account = Conversation.objects.get().engine_account_id
    where = {"conversation_id": conversation_id}
    kill_at_each_statement("gateway.rename_at_engine", environment, tenant_id=str(tenant.id), **where)
    assert replayed.conversations.by_id[conversation_id].fields["title"] == "Renamed"
    kill_at_each_statement(
        "gateway.delete_at_engine", environment, engine="librechat", engine_account_id=str(account), **where
    )
    kill_at_each_statement(  # also after the deletion
        "gateway.delete_at_engine", environment, engine="librechat", engine_account_id=str(account), **where
    )
    thread = Thread(conversation_id=UUID(conversation_id), engine_account_id=account)
    assert not async_to_sync(engine_named("librechat").messages)(thread)


def test_a_removed_server_is_removed_at_the_engine(
    replayed: ReplayedLibreChat,  # noqa: F811
    calculator: RealMCP,
    client_of: Any,
    cast: Cast,
    librechat_environment: dict[str, str],
) -> None:
    alice = client_of(cast.alice)
    assert install_calculator(alice, calculator.url).status_code == 201
    read_events(client_of(cast.bob), "hi", model=MODEL, mcps=["calculator"])
    (names,) = [servers for servers in replayed.servers.by_account.values() if servers]
    assert alice.delete("/v1/workspaces/sales/mcps/calculator").status_code == 204
    kill_at_each_statement("gateway.forget_servers", librechat_environment, **PERIODIC)
    assert not names
    with tenant_scope(cast.bob.principal.tenant):
        assert not EngineServer.objects.exists()


def test_a_servers_tools_are_stored_once(
    installed: RealMCP, cast: Cast, environment: dict[str, str], settings: Any
) -> None:
    installed.lie_about_add()
    with tenant_scope(cast.alice.principal.tenant):
        MCPServer.objects.update(checked_at=None)
        before = MCPServer.objects.get().version
        tools = Tool.objects.count()
    environment["OUTBOUND_ALLOWED"] = ",".join(settings.OUTBOUND_ALLOWED)
    kill_at_each_statement("workspaces.look_at_mcp_servers", environment, **PERIODIC)
    with tenant_scope(cast.alice.principal.tenant):
        server = MCPServer.objects.get()
        assert (server.problem, server.checked_at is None) == ("", False)
        assert server.version == before + 1
        assert Tool.objects.count() == tools
        assert Tool.objects.get(name="add").offered is not None


def test_unsent_images_are_deleted(cast: Cast, environment: dict[str, str]) -> None:
    made = NewPicture(data=picture("WEBP"), media_type="image/webp", size=(40, 30))
    with tenant_scope(cast.bob.principal.tenant):
        old, _ = (store_image(principal=cast.bob.principal, picture=made) for _ in range(2))
        Image.objects.filter(id=old.id).update(created_at=timezone.now() - timedelta(days=2))
    kill_at_each_statement("gateway.forget_images", environment, **PERIODIC)
    with tenant_scope(cast.bob.principal.tenant):
        assert Image.objects.exclude(id=old.id).count() == Image.objects.count() == 1


def test_counters_of_past_minutes_are_deleted(cast: Cast, environment: dict[str, str]) -> None:
    now = timezone.now()
    limit_to(cast.alice, 5, metric="requests", window="minute")
    limit_to(cast.alice, 1000)
    opened(cast)
    minute = BudgetWindow.objects.filter(window=Budget.Window.MINUTE)
    assert minute.update(starts_at=now - timedelta(hours=2)) == 1
    remaining = BudgetWindow.objects.count() - 1
    kill_at_each_statement("quotas.forget_minutes", environment, **PERIODIC)
    assert not minute.exists()
    assert BudgetWindow.objects.count() == remaining


def test_repeated_refusals_are_audited_once_with_their_count(cast: Cast, environment: dict[str, str]) -> None:
    for _ in range(5):
        record_refusal("turn.refused", code="role_too_low", principal=cast.bob.principal)
    Refusal.objects.update(minute=timezone.now() - timedelta(minutes=5))
    kill_at_each_statement("accounts.count_refusals", environment, **PERIODIC)
    entries = AuditEntry.objects.filter(action="turn.refused")
    assert sum(entry.count for entry in entries) == 5
    assert not Refusal.objects.exists()


def test_a_stalled_job_is_queued_again_once(environment: dict[str, str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_jobs (task_name, queue_name, status, attempts) "
            "VALUES ('accounts.deliver_mail', 'default', 'doing', 3)"
        )  # of a worker that no longer exists
    kill_at_each_statement("accounts.retry_stalled", environment, **PERIODIC)
    job = ProcrastinateJob.objects.get(task_name="accounts.deliver_mail")
    assert (job.status, job.attempts) == ("todo", 4)


def test_expired_tokens_and_mails_are_deleted(cast: Cast, environment: dict[str, str]) -> None:
    RefreshToken.for_user(cast.bob.user)
    OutstandingToken.objects.update(expires_at=timezone.now() - timedelta(days=1))
    OutgoingMail.objects.create(to="a@example.com", subject="S", sealed_message="")
    OutgoingMail.objects.update(created_at=timezone.now() - timedelta(days=60))
    kill_at_each_statement("accounts.clear_expired", environment, **PERIODIC)
    assert not OutstandingToken.objects.exists()
    assert not OutgoingMail.objects.exists()


def test_records_of_old_jobs_are_deleted(environment: dict[str, str]) -> None:
    ids = {}
    for status in ("succeeded", "failed", "todo"):
        for days in (8, 1):
            ids[status, days] = _job_since(status, days)
    kill_at_each_statement("accounts.forget_jobs", environment, **PERIODIC)
    left = set(ProcrastinateJob.objects.filter(id__in=ids.values()).values_list("id", flat=True))
    assert {of for of, job in ids.items() if job not in left} == {("succeeded", 8), ("failed", 8)}


def _job_since(status: str, days: int) -> int:
    """A job of a periodic task, whose latest event is `days` old."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_jobs (task_name, queue_name, status) "
            "VALUES ('quotas.forget_minutes', 'default', 'todo') RETURNING id",
        )
        (job_id,) = cursor.fetchone()
        cursor.execute("UPDATE procrastinate_jobs SET status = %s WHERE id = %s", [status, job_id])
        cursor.execute(
            "UPDATE procrastinate_events SET at = now() - %s * interval '1 day' WHERE job_id = %s",
            [days, job_id],
        )
        cursor.execute(
            "INSERT INTO procrastinate_periodic_defers (task_name, periodic_id, defer_timestamp, job_id) "
            "VALUES ('quotas.forget_minutes', '', %s, %s)",
            [job_id, job_id],
        )
    return int(job_id)


def test_every_kind_of_job_was_killed() -> None:
    """A new kind needs a test in this module; runs last, after the others."""
    ours = {name for name in app.tasks if not name.startswith(("builtin:", "procrastinate."))}
    if not KILLED:
        pytest.skip("the tests of this module did not run")
    assert ours == KILLED
