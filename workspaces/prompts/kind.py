"""What prompts declare as a kind."""

from workspaces.kind import Kind, RailEntry, Table
from workspaces.prompts import routes
from workspaces.prompts.admin import PromptAdmin
from workspaces.prompts.models import Prompt, PromptFavourite, PromptVersion
from workspaces.prompts.services import forget_prompts

OF_PROMPT = "prompt__workspace_id"

KIND = Kind(
    name="prompts",
    rail=RailEntry(label="Prompts", icon="pencil", position=10, url_name="prompts"),
    api=routes.api,
    pages=routes.pages,
    tables=(
        Table(PromptFavourite, workspace=OF_PROMPT),
        Table(PromptVersion, workspace=OF_PROMPT),
        Table(Prompt),
    ),
    admin={Prompt: PromptAdmin},
    forget_person=forget_prompts,
)
