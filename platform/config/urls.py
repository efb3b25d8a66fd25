"""Django's routes; those of the consumers are in gateway/api/routes.py."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularSwaggerSplitView

from accounts.audit import api as audit_api
from accounts.audit import pages as audit_pages
from accounts.keys import api as keys_api
from accounts.keys import pages as key_pages
from accounts.sign_in.api import account as account_api
from accounts.sign_in.api import auth as auth_api
from accounts.sign_in.pages import account as account_pages
from accounts.sign_in.pages import confirmation
from accounts.teams.api import invitations, tenant, workspaces
from accounts.teams.pages import invitation_acceptance, members
from accounts.teams.pages import settings as team_settings
from accounts.teams.pages import start as accounts_pages
from accounts.teams.pages import workspace as workspace_settings
from config import error_views, health_endpoints, mail_page, styleguide
from config.schema_view import SchemaView
from gateway.api import conversations as conversations_api
from gateway.api import images as images_api
from gateway.api import openai_models
from gateway.api.pages import chat as chat_pages
from gateway.api.pages import images as image_pages
from gateway.api.responses import views as responses_api
from quotas.api import budgets, usage
from quotas.pages import budgets as budget_pages
from quotas.pages import usage as usage_pages
from workspaces import api as workspaces_api
from workspaces import pages as workspace_pages
from workspaces.kinds import KINDS

v1: list[URLPattern | URLResolver] = [
    path("auth/signup", workspaces_api.SignUpView.as_view()),
    path("auth/team", workspaces_api.NewTeamView.as_view()),
    path("auth/token", auth_api.TokenView.as_view()),
    path("auth/token/refresh", auth_api.RefreshView.as_view()),
    path("auth/switch", auth_api.SwitchView.as_view()),
    path("auth/logout", auth_api.LogoutView.as_view()),
    path("auth/invitations/look", invitations.InvitationLookView.as_view()),
    path("auth/invitations/accept", invitations.InvitationAcceptView.as_view()),
    path("auth/links/look", invitations.LinkLookView.as_view()),
    path("auth/links/join", invitations.LinkJoinView.as_view()),
    path("me", account_api.MeView.as_view()),
    path("tenant", tenant.TenantDetailView.as_view()),
    path("tenant/members", tenant.MembersView.as_view()),
    path("tenant/members/<uuid:user_id>", tenant.MemberView.as_view()),
    path("tenant/ownership", tenant.OwnershipView.as_view()),
    path("tenant/ownership/accept", tenant.OwnershipAcceptView.as_view()),
    path("tenant/invitations", invitations.InvitationsView.as_view()),
    path("tenant/invitations/<uuid:invitation_id>", invitations.InvitationView.as_view()),
    path("tenant/invitations/<uuid:invitation_id>/resend", invitations.InvitationResendView.as_view()),
    path("tenant/api-keys", keys_api.TenantKeysView.as_view()),
    path("tenant/service-accounts", keys_api.ServiceAccountsView.as_view()),
    path("tenant/service-accounts/<uuid:user_id>", keys_api.ServiceAccountView.as_view()),
    path("tenant/audit", audit_api.TenantAuditView.as_view()),
    path("api-keys/<uuid:key_id>", keys_api.KeyView.as_view()),
    path("workspaces", workspaces_api.WorkspacesView.as_view()),
    path("workspaces/<slug:workspace>", workspaces.WorkspaceDetailView.as_view()),
    path("workspaces/<slug:workspace>/members", workspaces.WorkspaceMembersView.as_view()),
    path("workspaces/<slug:workspace>/members/<uuid:user_id>", workspaces.WorkspaceMemberView.as_view()),
    path("workspaces/<slug:workspace>/link", invitations.LinkView.as_view()),
    path("workspaces/<slug:workspace>/api-keys", keys_api.WorkspaceKeysView.as_view()),
    path("workspaces/<slug:workspace>/audit", audit_api.WorkspaceAuditView.as_view()),
    path("workspaces/<slug:workspace>/quota", workspaces_api.QuotaView.as_view()),
    *(route for kind in KINDS for route in kind.api),
    path("workspaces/<slug:workspace>/usage", usage.WorkspaceUsageView.as_view()),
    path("workspaces/<slug:workspace>/usage/export.<str:form>", usage.WorkspaceExportView.as_view()),
    path("workspaces/<slug:workspace>/budgets", budgets.WorkspaceBudgetsView.as_view()),
    path("usage", usage.TeamUsageView.as_view()),
    path("usage/export.<str:form>", usage.TeamExportView.as_view()),
    path("usage/settings", usage.UsageSettingsView.as_view()),
    path("budgets", budgets.BudgetsView.as_view()),
    path("budgets/<uuid:budget_id>", budgets.BudgetView.as_view()),
    path("models", openai_models.OpenAIModelsView.as_view()),
    path("models/<path:model>", openai_models.OpenAIModelView.as_view()),
    path("responses/<str:response_id>", responses_api.ResponseView.as_view()),
    path("responses/<str:response_id>/input_items", responses_api.InputItemsView.as_view()),
    path("conversations", conversations_api.ConversationsView.as_view()),
    path("conversations/<uuid:conversation_id>", conversations_api.ConversationView.as_view()),
    path("conversations/<uuid:conversation_id>/messages", conversations_api.MessagesView.as_view()),
    path("images", images_api.ImagesView.as_view()),
    path("images/<uuid:image_id>", images_api.ImageView.as_view()),
    path("chat/turns/<uuid:turn_id>", conversations_api.TurnView.as_view()),
    path("chat/turns/<uuid:turn_id>/approvals/<uuid:approval_id>", conversations_api.ApprovalView.as_view()),
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    re_path(r"", error_views.unknown_route),
]

workspace = [
    path("", accounts_pages.workspace),
    path("chat/", chat_pages.new_chat, name="new_chat"),
    path("chat/conversations", chat_pages.conversation_list),
    path("chat/<uuid:conversation_id>", chat_pages.conversation, name="conversation"),
    path("chat/<uuid:conversation_id>/rename", chat_pages.rename),
    path("chat/<uuid:conversation_id>/share", chat_pages.share),
    path("chat/<uuid:conversation_id>/delete", chat_pages.delete),
    *(route for kind in KINDS for route in kind.pages),
    path("turns/<uuid:turn_id>/approvals/<uuid:approval_id>", chat_pages.approve),
    path("images", image_pages.attach, name="chat_images"),
    path("images/<uuid:image_id>", image_pages.image, name="chat_image"),
    path("images/<uuid:image_id>/discard", image_pages.discard),
    path("usage", usage_pages.usage, name="usage"),
    path("usage/export.<str:form>", usage_pages.export, name="export_usage"),
    path("usage/budgets", budget_pages.budgets, name="budgets"),
    path("usage/budgets/zone", budget_pages.change_zone, name="change_zone"),
    path("usage/budgets/<uuid:budget_id>", budget_pages.change_budget, name="change_budget"),
    path("usage/budgets/<uuid:budget_id>/remove", budget_pages.remove_budget, name="remove_budget"),
    path("members", members.team, name="members"),
    path("members/<uuid:user_id>/role", members.change_role, name="change_role"),
    path("members/<uuid:user_id>/remove", members.remove, name="remove_member"),
    path("members/<uuid:user_id>/offer", members.offer_ownership, name="offer_ownership"),
    path("members/offer/withdraw", members.withdraw_offer, name="withdraw_offer"),
    path("members/offer/accept", members.accept_ownership, name="accept_ownership"),
    path("members/invitations", members.invited, name="invitations"),
    path("members/invitations/<uuid:invitation_id>/resend", members.resend, name="resend_invitation"),
    path("members/invitations/<uuid:invitation_id>/withdraw", members.withdraw, name="withdraw_invitation"),
    path("members/service-accounts", members.service_accounts, name="service_accounts"),
    path(
        "members/service-accounts/<uuid:user_id>/remove",
        members.remove_service_account,
        name="remove_service_account",
    ),
    path("settings", team_settings.team, name="settings"),
    path("settings/workspaces", workspace_pages.workspaces, name="workspaces_list"),
    path("settings/keys", key_pages.keys, name="keys"),
    path("settings/keys/<uuid:key_id>/revoke", key_pages.revoke_key, name="revoke_key"),
    path("settings/audit", audit_pages.audit, name="audit"),
    path("settings/workspaces/<slug:slug>", workspace_settings.workspace, name="workspace_settings"),
    path("settings/workspaces/<slug:slug>/members", workspace_settings.put_member, name="put_place"),
    path(
        "settings/workspaces/<slug:slug>/members/<uuid:user_id>",
        workspace_settings.remove_member,
        name="remove_place",
    ),
    path("settings/workspaces/<slug:slug>/link", workspace_settings.open_link, name="open_link"),
    path("settings/workspaces/<slug:slug>/link/close", workspace_settings.close_link, name="close_link"),
    path("settings/workspaces/<slug:slug>/default", workspace_settings.make_default, name="make_default"),
    path("settings/workspaces/<slug:slug>/archive", workspace_settings.archive, name="archive_workspace"),
    path("settings/workspaces/<slug:slug>/restore", workspace_settings.restore, name="restore_workspace"),
    path("settings/workspaces/<slug:slug>/delete", workspace_settings.delete, name="delete_workspace"),
]

own_account = [
    re_path(
        r"^confirm-email/(?P<key>[-:\w]+)/$",
        confirmation.ConfirmEmailView.as_view(),
        name="account_confirm_email",
    ),
    path("profile/", account_pages.profile, name="profile"),
    path("profile/picture/remove", account_pages.remove_picture, name="remove_picture"),
    path("keys/", account_pages.own_keys, name="own_keys"),
    path("keys/<uuid:key_id>/revoke", account_pages.revoke_own_key, name="revoke_own_key"),
    path("teams/", account_pages.teams, name="own_teams"),
    path("teams/<uuid:membership_id>/leave", account_pages.leave, name="leave_team"),
    path("sessions/", account_pages.sessions, name="usersessions_list"),
    path("sessions/<int:session_id>/end", account_pages.end_session, name="end_session"),
    path("sessions/end-others", account_pages.end_others, name="end_other_sessions"),
]

urlpatterns = [
    path("", accounts_pages.root),
    path("places/", accounts_pages.workspaces, name="places"),
    path("places/new", workspace_pages.new_team, name="new_team"),
    path("invitations/", invitation_acceptance.invitation, name="invitation"),
    path("invitations/<str:token>", invitation_acceptance.take_invitation),
    path("join/", invitation_acceptance.join, name="join"),
    path("join/<str:token>", invitation_acceptance.take_link),
    path("join/verify/", invitation_acceptance.prove_address, name="prove_address"),
    path("leave/", invitation_acceptance.other_person, name="other_person"),
    *(route for kind in KINDS for route in kind.site),
    path("pictures/<uuid:user_id>/<slug:version>.webp", account_pages.picture, name="picture"),
    path("t/<slug:tenant>/w/<slug:workspace>/", include(workspace)),
    path("healthz", health_endpoints.alive),
    path("readyz", health_endpoints.ready),
    path("v1/", include(v1)),
    path("accounts/", include(own_account)),
    path("accounts/", include("allauth.urls")),
    path("_allauth/", include("allauth.headless.urls")),
    path("admin/", admin.site.urls),
]

if settings.DEVELOPMENT:
    urlpatterns += [
        path("styleguide", styleguide.styleguide),
        path("mail", mail_page.mail, name="mail"),
        path("mail/<uuid:mail_id>", mail_page.mail_html, name="mail_html"),
    ]

handler400 = "config.error_views.bad_request"
handler404 = "config.error_views.not_found"
handler500 = "config.error_views.server_error"
