"""allauth's adapter of the routes for apps: the URLs of links in its mails."""

from typing import Any

from allauth.headless.adapter import DefaultHeadlessAdapter

from accounts.mail.links import allauth_link


class HeadlessAdapter(DefaultHeadlessAdapter):
    def get_frontend_url(self, urlname: str, **kwargs: Any) -> str | None:
        """Called first for every link that allauth mails, for pages and apps."""
        return allauth_link(urlname, str(kwargs.get("key", "")))
