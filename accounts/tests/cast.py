"""The people of every test: alice owns acme, bob and dana are members there, charlie owns globex."""

from dataclasses import dataclass

from accounts.models import Membership, User, Workspace, WorkspaceMember
from accounts.principals import Principal, find_principal
from accounts.sign_in.tokens import access_token
from workspaces.inputs import SignUp
from workspaces.onboarding import create_workspace_with_model, sign_up

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Person:
    """A principal with a token."""

    principal: Principal

    @property
    def token(self) -> str:
        return access_token(self.principal)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def user(self) -> User:
        return User.objects.get(id=self.principal.user_id)


@dataclass(frozen=True)
class Cast:
    """alice owns tenant acme (sales, ops); bob is only in sales, dana only in ops; charlie owns globex."""

    alice: Person
    bob: Person
    dana: Person
    charlie: Person


def create_cast() -> Cast:
    alice = _sign_up("alice", "Acme", "Sales")
    charlie = _sign_up("charlie", "Globex", "Sales")
    owner = alice.user
    ops = create_workspace_with_model(tenant=owner.memberships.get().tenant, name="Ops", manager=owner)
    sales = owner.workspace_memberships.get(workspace__slug="sales").workspace
    return Cast(alice=alice, bob=_join("bob", sales), dana=_join("dana", ops), charlie=charlie)


def _sign_up(name: str, tenant: str, workspace: str) -> Person:
    return Person(
        sign_up(
            new=SignUp(
                email=f"{name}@example.com",
                password=PASSWORD,
                name=name.title(),
                tenant_name=tenant,
                workspace_name=workspace,
            )
        )
    )


def _join(name: str, workspace: Workspace) -> Person:
    user = User.objects.create_user(f"{name}@example.com", PASSWORD, name=name.title())
    Membership.objects.create(user=user, tenant=workspace.tenant, role=Membership.Role.MEMBER)
    WorkspaceMember.objects.create(user=user, workspace=workspace, role=WorkspaceMember.Role.EDITOR)
    principal = find_principal(
        user_id=user.id, tenant_slug=workspace.tenant.slug, workspace_slug=workspace.slug
    )
    assert principal is not None
    return Person(principal)
