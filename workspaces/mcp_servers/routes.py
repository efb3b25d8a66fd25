"""The routes of MCP servers: in REST, and among the pages of a workspace."""

from django.urls import URLPattern, path

from workspaces.mcp_servers import api as rest
from workspaces.mcp_servers import pages as web
from workspaces.mcp_servers.oauth import pages as web_sign_in

SERVERS = "workspaces/<slug:workspace>/mcps"

api: list[URLPattern] = [
    path("mcp-gallery", rest.GalleryView.as_view()),
    path(SERVERS, rest.ServersView.as_view()),
    path(f"{SERVERS}/<str:server>", rest.ServerView.as_view()),
    path(f"{SERVERS}/<str:server>/refresh", rest.ServerRefreshView.as_view()),
    path(f"{SERVERS}/<str:server>/sign-in", rest.ServerSignInView.as_view()),
    path(f"{SERVERS}/<str:server>/tools", rest.ToolsView.as_view()),
    path(f"{SERVERS}/<str:server>/tools/<path:tool>", rest.ToolView.as_view()),
]

pages: list[URLPattern] = [
    path("mcps", web.servers, name="mcp_servers"),
    path("mcps/gallery/", web.gallery, name="mcp_gallery"),
    path("mcps/install/", web.install, name="install_mcp_server"),
    path("mcps/<str:server>", web.server, name="mcp_server"),
    path("mcps/<str:server>/refresh", web.refresh, name="refresh_mcp_server"),
    path("mcps/<str:server>/sign-in", web_sign_in.sign_in, name="sign_in_at_mcp_server"),
    path("mcps/<str:server>/sign-out", web_sign_in.sign_out, name="sign_out_of_mcp_server"),
    path("mcps/<str:server>/change", web.change, name="change_mcp_server"),
    path("mcps/<str:server>/connection", web.connect, name="connect_mcp_server"),
    path("mcps/<str:server>/remove", web.remove, name="remove_mcp_server"),
    path("mcps/<str:server>/accept/<path:tool>", web.accept_tool, name="accept_mcp_tool"),
    path("mcps/<str:server>/tools", web.change_tools, name="change_mcp_tools"),
    path("mcps/<str:server>/tools/<path:tool>", web.change_tool, name="change_mcp_tool"),
]

# Outside any workspace: an authorization server redirects to these, whichever team the sign-in is for.
site: list[URLPattern] = [
    path("mcp/client.json", web_sign_in.document),
    path("mcp/callback", web_sign_in.come_back, name="mcp_callback"),
    path("mcp/back/<slug:mark>", web_sign_in.come_back),
]
