"""The routes of prompts: in REST, and among the pages of a workspace."""

from django.urls import URLPattern, path

from workspaces.prompts import api as rest
from workspaces.prompts import pages as web

PROMPTS = "workspaces/<slug:workspace>/prompts"

api: list[URLPattern] = [
    path(PROMPTS, rest.PromptsView.as_view()),
    path(f"{PROMPTS}/<str:prompt>", rest.PromptView.as_view()),
    path(f"{PROMPTS}/<str:prompt>/versions", rest.VersionsView.as_view()),
    path(f"{PROMPTS}/<str:prompt>/diff/<int:before>/<int:after>", rest.DiffView.as_view()),
    path(f"{PROMPTS}/<str:prompt>/rollback", rest.RollbackView.as_view()),
    path(f"{PROMPTS}/<str:prompt>/favourite", rest.FavouriteView.as_view()),
    path(f"{PROMPTS}/<str:prompt>/render", rest.RenderView.as_view()),
]

pages: list[URLPattern] = [
    path("prompts", web.prompts, name="prompts"),
    path("prompts/new", web.new, name="new_prompt"),
    path("prompts/composer", web.for_composer, name="composer_prompts"),
    path("prompts/<str:prompt>", web.prompt, name="prompt"),
    path("prompts/<str:prompt>/edit", web.edit, name="edit_prompt"),
    path("prompts/<str:prompt>/remove", web.remove, name="remove_prompt"),
    path("prompts/<str:prompt>/favourite", web.favourite, name="like_prompt"),
    path("prompts/<str:prompt>/render", web.render_now, name="render_prompt"),
    path("prompts/<str:prompt>/versions/<int:number>", web.roll_back, name="roll_back_prompt"),
]
