"""Where MCP servers are found: in REST below a workspace, and among its pages."""

from django.urls import URLPattern, path

from workspaces.mcp_servers import api as rest
from workspaces.mcp_servers import pages as web
from workspaces.mcp_servers.oauth import pages as web_sign_in

api: list[URLPattern] = [
    path("workspaces/<slug:workspace>/mcps", rest.ServersView.as_view()),
    path("workspaces/<slug:workspace>/mcps/<str:server>", rest.ServerView.as_view()),
    path("workspaces/<slug:workspace>/mcps/<str:server>/refresh", rest.ServerRefreshView.as_view()),
    path("workspaces/<slug:workspace>/mcps/<str:server>/sign-in", rest.ServerSignInView.as_view()),
    path("workspaces/<slug:workspace>/mcps/<str:server>/tools", rest.ToolsView.as_view()),
    path("workspaces/<slug:workspace>/mcps/<str:server>/tools/<path:tool>", rest.ToolView.as_view()),
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
