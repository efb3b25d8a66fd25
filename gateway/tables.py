"""The gateway's own tables in a tenant's schema, as the kinds of `workspaces/kinds.py` declare theirs."""

from gateway.models import Conversation, EngineServer, Image, Message, StoredResponse, ToolRun, Turn
from workspaces.kind import Table

IMAGES = Table(Image, sealed=("sealed",), batch=10)  # some megabytes each
# Its rows belong to no workspace: `engines/cleanup.py` deletes those of removed servers.
ENGINE_SERVERS = Table(EngineServer, workspace="", sealed=("sealed_secret",))

TABLES: tuple[Table, ...] = (
    Table(ToolRun, workspace="turn__workspace_id"),
    Table(Message, workspace="conversation__workspace_id"),
    Table(StoredResponse, workspace="turn__workspace_id"),
    IMAGES,
    Table(Turn),
    Table(Conversation),
    ENGINE_SERVERS,
)
