"""The chat pages: a new chat, a conversation, the list of conversations, rename, share and delete."""

from functools import partial
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Prefetch
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.middleware import WorkspaceRequest
from accounts.page_urls import page_url
from accounts.pagination import cursor_of, rows_after
from accounts.principals import Principal
from gateway.api.browser import turn_url
from gateway.api.reply_parts import lasting_notice, reply_parts, shown_extras
from gateway.conversations import services as conversations
from gateway.conversations.engine_copies import engine_texts, text_of
from gateway.conversations.images import as_data, image_url, images_of, with_urls
from gateway.conversations.inputs import LONGEST_TITLE
from gateway.conversations.reply_extras import extras_in
from gateway.models import Conversation, Image, Message, Turn
from gateway.turns.approval_answers import answer_approval, approval_data
from gateway.turns.inputs import ApprovalInput
from kit.api import json_error
from kit.errors import DomainError, Forbidden, NotFound
from kit.highlighter import Budget
from kit.inputs import read_body
from kit.json_input import parse_object
from kit.markdown import PAGE_SECONDS
from workspaces.language_models.models import LanguageModel
from workspaces.language_models.queries import chat_models
from workspaces.mcp_servers.queries import offered_servers

TURNS_SHOWN = 30
Ability = LanguageModel.Ability


@require_GET
def new_chat(request: WorkspaceRequest, tenant: str, workspace: str) -> HttpResponse:
    return render(request, "chat/page.html", chat_context(request, None))


@require_GET
def conversation_list(request: WorkspaceRequest, tenant: str, workspace: str) -> HttpResponse:
    """The rail's list alone, to refresh it."""
    return render(request, "chat/_conversations.html")


@require_GET
def conversation(
    request: WorkspaceRequest, tenant: str, workspace: str, conversation_id: UUID
) -> HttpResponse:
    return render(request, "chat/page.html", chat_context(request, _open(request, conversation_id)))


@require_POST
def rename(request: WorkspaceRequest, tenant: str, workspace: str, conversation_id: UUID) -> HttpResponse:
    title = " ".join(request.POST.get("title", "").replace("\0", "").split())[:LONGEST_TITLE]
    if title:
        _or_404(
            conversations.change_conversation,
            principal=request.principal,
            conversation_id=conversation_id,
            title=title,
        )
        messages.success(request, "Renamed.")
    return redirect(page_url(request.principal, "conversation", conversation_id=conversation_id))


@require_POST
def approve(
    request: WorkspaceRequest, tenant: str, workspace: str, turn_id: UUID, approval_id: UUID
) -> HttpResponse:
    """Answers a tool call that waits for approval, for the page's script."""
    try:
        answer = read_body(ApprovalInput, parse_object(request.body))
        state = answer_approval(
            principal=request.principal,
            turn_id=turn_id,
            approval_id=approval_id,
            decision=answer.decision,
        )
    except DomainError as error:
        return json_error(error)
    return JsonResponse(approval_data(state))


@require_POST
def share(request: WorkspaceRequest, tenant: str, workspace: str, conversation_id: UUID) -> HttpResponse:
    """Shares the conversation with the workspace, or makes it private again."""
    shared = request.POST.get("shared") == "1"
    _or_404(
        conversations.change_conversation,
        principal=request.principal,
        conversation_id=conversation_id,
        shared=shared,
    )
    messages.success(
        request,
        "Everyone in the workspace can read this conversation."
        if shared
        else "Only you can read this conversation now.",
    )
    return redirect(page_url(request.principal, "conversation", conversation_id=conversation_id))


@require_POST
def delete(request: WorkspaceRequest, tenant: str, workspace: str, conversation_id: UUID) -> HttpResponse:
    _or_404(conversations.delete_conversation, principal=request.principal, conversation_id=conversation_id)
    messages.success(request, "Conversation deleted.")
    return redirect(page_url(request.principal, "new_chat"))


def chat_context(request: WorkspaceRequest, opened: Conversation | None) -> dict[str, Any]:
    principal = request.principal
    turns, earlier_url = _turns_of(request, opened) if opened else ([], "")
    last_model = turns[-1]["model"] if turns else ""
    models = chat_models(principal)
    return {
        "conversation": conversation_data(request, opened) if opened else None,
        "turns": turns,
        "earlier_url": earlier_url,
        "models": [
            {
                "slug": model.slug,
                "name": model.name,
                "selected": model.slug == last_model,
                "images": Ability.IMAGES in model.abilities,
                "tools": Ability.TOOLS in model.abilities,
            }
            for model in models
        ],
        "sees_images": any(Ability.IMAGES in model.abilities for model in models),
        "attach_url": page_url(principal, "chat_images"),
        "mcps": _mcps_of(principal, opened),
        "currency": settings.CURRENCY,
        "send_url": page_url(principal, "new_chat") + "send",
    }


def _mcps_of(principal: Principal, opened: Conversation | None) -> list[dict[str, Any]]:
    """The usable servers; those of the latest turn are selected."""
    latest = opened.turns.current().values_list("parameters", flat=True).first() if opened else None
    chosen = (latest or {}).get("mcp_ids", [])
    return [
        {
            "slug": s.slug,
            "name": s.name,
            "tools": s.tools,
            "selected": str(s.id) in chosen and not s.needs_sign_in,
            "needs_sign_in": s.needs_sign_in,
        }
        for s in offered_servers(principal)
    ]


def conversation_data(request: WorkspaceRequest, row: Conversation) -> dict[str, Any]:
    """One conversation for the templates."""
    url = page_url(request.principal, "conversation", conversation_id=row.id)
    is_own = row.user_id == request.principal.user_id
    return {
        "id": str(row.id),
        "title": row.title,
        "url": url,
        "is_shared": row.is_shared,
        # Only its owner can change a conversation.
        "rename_url": f"{url}/rename" if is_own else "",
        "share_url": f"{url}/share" if is_own else "",
        "delete_url": f"{url}/delete" if is_own else "",
        "current": request.path == url,
        "running": getattr(row, "running", False),
    }


def _turns_of(request: WorkspaceRequest, opened: Conversation) -> tuple[list[dict[str, Any]], str]:
    """The latest turns, or those before `?before=`, oldest first; and the URL of earlier ones."""
    rows = opened.turns.current().prefetch_related(
        Prefetch("messages", queryset=Message.objects.order_by("created_at"))
    )
    page = list(rows_after(rows, request.GET.get("before", ""), newest_first=True)[: TURNS_SHOWN + 1])
    shown = page[:TURNS_SHOWN]
    earlier = f"?before={cursor_of(shown[-1])}" if len(page) > TURNS_SHOWN else ""
    texts = engine_texts(opened)
    images = images_of([message for turn in shown for message in turn.messages.all()])
    if not connection.in_atomic_block:
        connection.close()  # no connection is held while replies are rendered
    budget = Budget(PAGE_SECONDS)
    return [turn_context(request, turn, texts, images, budget) for turn in reversed(shown)], earlier


def turn_context(
    request: WorkspaceRequest, turn: Turn, texts: dict[UUID, str], images: dict[UUID, Image], budget: Budget
) -> dict[str, Any]:
    """One turn for the template; the engine's texts take precedence."""
    said = {message.role: text_of(message, turn, texts) for message in turn.messages.all()}
    reply = said.get(Message.Role.ASSISTANT, turn.reply)
    return {
        "id": str(turn.id),
        "url_events": turn_url(request.principal, turn.id, "events"),
        "url_stop": turn_url(request.principal, turn.id, "stop"),
        "state": "done" if turn.is_done else "running",
        "is_mine": turn.user_id == request.principal.user_id,
        "finish_reason": turn.finish_reason,
        "model": turn.model,
        "message": {
            "text": said.get(Message.Role.USER, ""),
            "created_at": turn.created_at,
            "images": with_urls(
                request.principal,
                as_data(_image_ids(turn, Message.Role.USER), images),
            ),
        },
        "parts": reply_parts(turn.parts, reply, is_running=turn.is_running, page=budget),
        "extras": shown_extras(extras_in(turn.parts), partial(image_url, request.principal)),
        "notice": lasting_notice(turn.parts),
        "error": turn.error,
        "usage": {
            "input_tokens": turn.input_tokens,
            "output_tokens": turn.output_tokens,
            "total_tokens": turn.input_tokens + turn.output_tokens,
            "exactness": turn.exactness,
            "cost": turn.cost,
        }
        if turn.is_done
        else None,
    }


def _image_ids(turn: Turn, role: str) -> list[UUID]:
    return [i for message in turn.messages.all() if message.role == role for i in message.image_ids]


def _open(request: WorkspaceRequest, conversation_id: UUID) -> Conversation:
    return cast("Conversation", _or_404(conversations.open_conversation, request.principal, conversation_id))


def _or_404(service: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return service(*args, **kwargs)
    except NotFound as exc:
        raise Http404 from exc
    except Forbidden as exc:
        raise PermissionDenied(exc.text) from exc
