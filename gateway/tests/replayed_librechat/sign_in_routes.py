"""The routes that need no token: registering, signing in, refreshing."""

from http.cookies import SimpleCookie

from gateway.tests.replayed_librechat.accounts import Account, Accounts, AuthError
from gateway.tests.replayed_librechat.answers import Json, Send, answer_json, answer_text
from gateway.tests.replayed_librechat.request import Request

REGISTERED = "Please check your email to verify your email address."


async def answer_sign_in(accounts: Accounts, request: Request, send: Send) -> bool:
    """False if the request is for another route."""
    match request.route:
        case ("POST", "api", "auth", "register"):
            await _register(accounts, request, send)
        case ("POST", "api", "auth", "login"):
            await _log_in(accounts, request, send)
        case ("POST", "api", "auth", "refresh"):
            await _refresh(accounts, request, send)
        case ("GET", "health"):
            await answer_text(send, 200, "OK")
        case _:
            return False
    return True


async def _register(accounts: Accounts, request: Request, send: Send) -> None:
    try:
        accounts.register(request.body)
    except AuthError as exc:
        await answer_json(send, 404, {"message": str(exc)})
    else:
        await answer_json(send, 200, {"message": REGISTERED})


async def _log_in(accounts: Accounts, request: Request, send: Send) -> None:
    try:
        account = accounts.log_in(request.body)
    except AuthError as exc:
        await answer_json(send, 404, {"message": str(exc)})
    else:
        await _sign_in(accounts, account, account.as_signed_in(), send)


async def _refresh(accounts: Accounts, request: Request, send: Send) -> None:
    cookie = SimpleCookie(request.headers.get("cookie", "")).get("refreshToken")
    account = accounts.refresh_tokens.get(cookie.value) if cookie else None
    if cookie is None:
        await answer_text(send, 200, "Refresh token not provided")
    elif account is None:
        await answer_text(send, 403, "Invalid refresh token")
    else:
        user = {key: value for key, value in account.as_signed_in().items() if key != "id"}
        await _sign_in(accounts, account, user, send)


async def _sign_in(accounts: Accounts, account: Account, user: Json, send: Send) -> None:
    data = {"token": accounts.issue_token(account), "user": user}
    await answer_json(send, 200, data, accounts.issue_cookies(account))
