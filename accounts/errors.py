"""Errors about identity, membership and invitations."""

from kit.errors import Conflict, Forbidden, NotAuthenticated, NotFound, RateLimited


class CredentialsInvalid(NotAuthenticated):
    code, status, message = "credentials_invalid", 401, "Wrong email or password."


class SecondStepRequired(NotAuthenticated):
    code, status = "second_step_required", 401
    message = "This account uses two-factor authentication. Send an authenticator or recovery code as `code`."


class RoleTooLow(Forbidden):
    code, status, message = "role_too_low", 403, "Your role in this workspace does not allow this."


class ScopeMissing(Forbidden):
    code, status, message = "scope_missing", 403, "This API key lacks the scope for this."


class PersonRequired(Forbidden):
    code, status = "person_required", 403
    message = "API keys cannot do this. Sign in instead."


class KeyBound(Forbidden):
    code, status = "key_bound", 403
    message = "This API key is limited to one workspace. Use a team-wide key or sign in."


class OriginRefused(Forbidden):
    code, status, message = "origin_refused", 403, "The request comes from another site."


class EmailTaken(Conflict):
    code, status, message = "email_taken", 409, "An account with this email already exists. Sign in instead."


class LastOwner(Conflict):
    code, status = "last_owner", 409
    message = "Every team needs an owner. Offer ownership to someone else first."


class InvitationInvalid(NotFound):
    code, status = "invitation_invalid", 404
    message = "This invitation has been used, has expired or was withdrawn. Ask for a new one."


class WrongAddress(Forbidden):
    code, status = "wrong_address", 403
    message = "This invitation is for another email address."


class AddressUnverified(Forbidden):
    code, status = "address_unverified", 403
    message = "Confirm your email address first. The link is in your email."


class InvitationLimit(RateLimited):
    """Details: limit, retry_after in seconds; of a team also sent and requested."""

    code, status, message = "invitation_limit", 429, "Too many invitations were sent. Try again tomorrow."
