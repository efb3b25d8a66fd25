"""REST requests as a person of the cast, by Django's client."""

import json
from typing import Any

from django.test import Client

from accounts.tests.cast import Person


class As:
    """`As(person).ask("PATCH", "tenant", {...})`; `credential` replaces the person's token."""

    def __init__(self, person: Person | None = None, credential: str = "") -> None:
        self.client = Client()
        self.credential = credential or (person.token if person else "")

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.generic(
            method,
            f"/v1/{path}",
            data=self.text(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.credential}", **headers},
        )

    @staticmethod
    def text(body: Any) -> str:
        return "" if body is None else json.dumps(body)


def code_of(answer: Any) -> str:
    return str(answer.json()["error"]["code"])
