"""Users, identified by email address, who may belong to several tenants."""

from typing import Any, ClassVar
from uuid import uuid4

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, **{**fields, "is_staff": True, "is_superuser": True})

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=100, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField("operator", default=False, help_text="Can use the admin.")
    service_of = models.ForeignKey(
        "accounts.Tenant",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.CASCADE,
        related_name="service_accounts",
        help_text="Set for a service account of this tenant. No one signs in as it; API keys act for it.",
    )
    picture_version = models.CharField(
        max_length=16, blank=True, editable=False, help_text="Changes with the picture; empty without one"
    )
    reply_language = models.CharField(
        max_length=10, blank=True, help_text="Language of replies; empty: the language of the question"
    )
    access_version = models.PositiveIntegerField(
        default=0, editable=False, help_text="Tokens contain it, so raising it revokes all earlier tokens."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="one_user_an_address_in_any_case"),
        ]
        indexes = [models.Index(fields=["created_at"], name="user_created")]

    def __str__(self) -> str:
        return self.email

    @property
    def label(self) -> str:
        """Shown to other people: the name, or the address if there is none."""
        return self.name or self.email

    def get_full_name(self) -> str:
        return self.label
