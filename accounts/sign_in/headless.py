"""What allauth's routes for apps ask of us: where the links in its mails lead."""

from typing import Any

from allauth.headless.adapter import DefaultHeadlessAdapter

from accounts.mail.links import allauth_link


class HeadlessAdapter(DefaultHeadlessAdapter):
    def get_frontend_url(self, urlname: str, **kwargs: Any) -> str | None:
        """allauth asks here first for every link that it mails, for pages and apps alike."""
        return allauth_link(urlname, str(kwargs.get("key", "")))
