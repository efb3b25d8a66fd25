"""Signs in over the API, switches between workspaces, signs out; every step is audited."""

from accounts.audit import services as audit
from accounts.audit.refusals import record_refusal
from accounts.email_addresses import plain_address
from accounts.policy import expect_person
from accounts.principals import Principal, default_principal, find_principal
from accounts.sign_in.tokens import issue_tokens, revoke_refresh
from accounts.sign_in.users import prove
from kit.errors import Forbidden, NotFound


def sign_in(
    *,
    email: str,
    password: str,
    code: str = "",
    tenant_slug: str | None = None,
    workspace_slug: str | None = None,
) -> dict[str, str]:
    """Tokens for the named workspace, else for the first one joined; `users.prove` checks the credentials."""
    user = prove(email=plain_address(email), password=password, code=code)
    principal = default_principal(user_id=user.id, tenant_slug=tenant_slug, workspace_slug=workspace_slug)
    if principal is None:
        refusal = _no_workspace(named=bool(tenant_slug or workspace_slug))
        record_refusal(
            "user.sign_in_refused", code=refusal.code, actor_id=user.id, target=email, reason="no_place"
        )
        raise refusal
    audit.record("user.signed_in", principal=principal, via="api")
    return issue_tokens(principal)


def switch_workspace(*, principal: Principal, tenant_slug: str, workspace_slug: str) -> dict[str, str]:
    """Tokens for another workspace of the same person; NotFound if they are not a member.

    PersonRequired for an API key: tokens carry neither its scopes nor its workspace.
    """
    expect_person(principal)
    other = find_principal(user_id=principal.user_id, tenant_slug=tenant_slug, workspace_slug=workspace_slug)
    if other is None:
        target = f"{tenant_slug}/{workspace_slug}"
        record_refusal("user.switch_refused", code=NotFound.code, principal=principal, target=target)
        raise NotFound
    audit.record("user.switched", principal=other, target=f"{tenant_slug}/{workspace_slug}")
    return issue_tokens(other, family=principal.family)


def sign_out(*, principal: Principal, refresh: str) -> None:
    """Ends the sign-in that the refresh token belongs to, if it is the principal's own."""
    expect_person(principal)
    revoke_refresh(refresh, user_id=principal.user_id)
    audit.record("user.signed_out", actor_id=principal.user_id, via="api")


def _no_workspace(*, named: bool) -> NotFound | Forbidden:
    return NotFound() if named else Forbidden("You belong to no workspace yet.")
