"""REST routes of the tenant, its members, and offers of ownership."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView
from accounts.inputs import GIVEN_ROLES
from accounts.models import Tenant
from accounts.policy import Action
from accounts.serializers import OldestFirst, PersonSerializer, page_of
from accounts.sign_in.api.auth import checked
from accounts.teams import members, tenants
from accounts.teams.inputs import TenantChange
from kit.api import Pages
from kit.inputs import read_body, serializer_of

PAGE_SIZES = {"type": "integer", "minimum": 1, "maximum": Pages.max_page_size, "default": Pages.page_size}
PAGING = [OpenApiParameter("cursor", str), OpenApiParameter("limit", PAGE_SIZES)]


class TenantSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(source="slug")
    name = serializers.CharField()
    role = serializers.CharField(help_text="Yours")
    default_workspace = serializers.CharField(source="default_workspace.slug", allow_null=True, default=None)
    departed_conversations = serializers.CharField(
        help_text="What happens to the private conversations and prompts of members who leave"
    )
    created_at = serializers.DateTimeField()


class MemberSerializer(serializers.Serializer[Any]):
    user = PersonSerializer()
    role = serializers.CharField()
    created_at = serializers.DateTimeField()


class RoleSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(GIVEN_ROLES)


class OfferSerializer(serializers.Serializer[Any]):
    offered_by = PersonSerializer()
    offered_to = PersonSerializer()
    expires_at = serializers.DateTimeField()


class HeirSerializer(serializers.Serializer[Any]):
    user_id = serializers.UUIDField()


class TenantDetailView(PolicyView):
    policy: ClassVar = {"GET": Action.TENANT_VIEW, "PATCH": Action.TENANT_CHANGE}

    @extend_schema(operation_id="tenant", tags=["team"], responses=TenantSerializer)
    def get(self, request: Request) -> Response:
        """Returns your team."""
        return Response(self._data(tenants.tenant_of(self.principal)))

    @extend_schema(
        operation_id="change_tenant",
        tags=["team"],
        request=serializer_of(TenantChange),
        responses=TenantSerializer,
    )
    def patch(self, request: Request) -> Response:
        """Changes the team's name or rules."""
        change = read_body(TenantChange, request.data)
        return Response(self._data(tenants.change_tenant(principal=self.principal, change=change)))

    def _data(self, tenant: Tenant) -> Any:
        tenant.role = self.principal.tenant_role  # for the serializer
        return TenantSerializer(tenant).data


class MembersView(PolicyView):
    policy: ClassVar = {"GET": Action.MEMBERS_VIEW}

    @extend_schema(
        operation_id="members", tags=["team"], parameters=PAGING, responses=page_of(MemberSerializer)
    )
    def get(self, request: Request) -> Response:
        """Lists everyone in the team, the oldest member first."""
        pages = OldestFirst()
        rows = pages.paginate_queryset(members.members_of(self.principal), request, self)
        return pages.get_paginated_response(MemberSerializer(rows, many=True).data)


class MemberView(PolicyView):
    policy: ClassVar = {"PATCH": Action.MEMBERS_CHANGE, "DELETE": Action.MEMBERS_CHANGE}
    own_policy: ClassVar = {"DELETE": Action.TENANT_LEAVE}

    @extend_schema(
        operation_id="change_member", tags=["team"], request=RoleSerializer, responses=MemberSerializer
    )
    def patch(self, request: Request, user_id: UUID) -> Response:
        """Gives a member another role, from their next request on. No API key makes an admin."""
        role = checked(RoleSerializer, request)["role"]
        changed = members.change_role(principal=self.principal, user_id=user_id, role=role)
        return Response(MemberSerializer(changed).data)

    @extend_schema(operation_id="remove_member", tags=["team"], responses={204: None})
    def delete(self, request: Request, user_id: UUID) -> Response:
        """Removes a member from the team and all its workspaces. With your own id you leave; no key can."""
        members.remove_from_tenant(principal=self.principal, user_id=user_id)
        return Response(status=204)


class OwnershipView(PolicyView):
    policy: ClassVar = {
        "GET": Action.TENANT_VIEW,
        "POST": Action.OWNERSHIP_PASS,
        "DELETE": Action.OWNERSHIP_PASS,
    }

    @extend_schema(operation_id="ownership_offer", tags=["team"], responses=OfferSerializer)
    def get(self, request: Request) -> Response:
        """Returns the open ownership offer, to owners and to its recipient."""
        return Response(OfferSerializer(members.current_offer(self.principal)).data)

    @extend_schema(
        operation_id="offer_ownership",
        tags=["team"],
        request=HeirSerializer,
        responses={201: OfferSerializer},
    )
    def post(self, request: Request) -> Response:
        """Offers ownership to a member; the transfer takes effect when they accept."""
        offer = members.offer_ownership(principal=self.principal, **checked(HeirSerializer, request))
        return Response(OfferSerializer(offer).data, status=201)

    @extend_schema(operation_id="withdraw_ownership_offer", tags=["team"], responses={204: None})
    def delete(self, request: Request) -> Response:
        """Withdraws the ownership offer."""
        members.withdraw_offer(principal=self.principal)
        return Response(status=204)


class OwnershipAcceptView(PolicyView):
    policy: ClassVar = {"POST": Action.OWNERSHIP_ACCEPT}

    @extend_schema(operation_id="accept_ownership", tags=["team"], request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """Accepts the ownership offer; the previous owner becomes an admin."""
        members.accept_ownership(principal=self.principal)
        return Response(status=204)
