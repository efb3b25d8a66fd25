"""REST routes of the caller's own account."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import PolicyView
from accounts.models import User
from accounts.policy import expect_person
from accounts.sign_in import profile
from accounts.sign_in.inputs import Profile
from accounts.teams import members
from kit.inputs import read_body, serializer_of


class TeamSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(source="tenant.slug")
    name = serializers.CharField(source="tenant.name")
    role = serializers.CharField()


class MeSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    name = serializers.CharField()
    reply_language = serializers.CharField(help_text="Empty: the language of the message")
    teams = TeamSerializer(many=True)


class MeView(PolicyView):
    policy: ClassVar = {}  # everyone reads and changes their own account; a key only reads

    @extend_schema(operation_id="me", tags=["auth"], responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """Returns the person that the token or key acts for, and their teams."""
        return self._response(self._user())

    @extend_schema(
        operation_id="change_me", tags=["auth"], request=serializer_of(Profile), responses=MeSerializer
    )
    def patch(self, request: Request) -> Response:
        """Changes your name, or the language that models reply to you in."""
        expect_person(self.principal)
        user = self._user()
        sent = read_body(Profile, request.data)
        profile.change_profile(user=user, name=sent.name, reply_language=sent.reply_language)
        return self._response(user)

    def _user(self) -> User:
        return User.objects.get(id=self.principal.user_id)

    def _response(self, user: User) -> Response:
        teams = [
            membership
            for membership in members.memberships_of(user.id)
            if self.principal.scopes is None or membership.id == self.principal.membership_id
        ]
        serializer = MeSerializer(
            {
                "id": user.id,
                "email": user.email,
                "name": user.name,
                "reply_language": user.reply_language,
                "teams": teams,
            }
        )
        return Response(serializer.data)
