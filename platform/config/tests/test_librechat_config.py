"""`librechat_config` writes the tested configuration, and generates private secrets once."""

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

SECRET = "s3cret-" * 6

# As LibreChat was driven when its behaviour was recorded, with the egress at egress:8002.
MEASURED = """
summarization: { enabled: false }
memory: { disabled: true }
transactions: { enabled: false }
endpoints:
  allowedAddresses: ['egress:8002']
  custom:
    - name: 'Routed'
      apiKey: '${EGRESS_SECRET}'
      baseURL: 'http://egress:8002/v1'
      models: { default: ['routed'], fetch: false }
      titleConvo: false
      streamRate: 0
      addParams: { streamUsage: true }
      headers:
        x-engine-user: '{{LIBRECHAT_USER_ID}}'
        x-conversation: '{{LIBRECHAT_BODY_CONVERSATIONID}}'
        x-message: '{{LIBRECHAT_BODY_MESSAGEID}}'
        x-parent: '{{LIBRECHAT_BODY_PARENTMESSAGEID}}'
"""
REQUIRED = {
    "ALLOW_REGISTRATION": "true",
    "LIMIT_CONCURRENT_MESSAGES": "false",
    "LIMIT_MESSAGE_IP": "false",
    "LIMIT_MESSAGE_USER": "false",
    "BAN_VIOLATIONS": "false",
    "SEARCH": "false",
    "MONGO_URI": "mongodb://mongodb:27017/LibreChat",
}
OWN_SECRETS = {"CREDS_KEY": 64, "CREDS_IV": 32, "JWT_SECRET": 64, "JWT_REFRESH_SECRET": 64}


@pytest.fixture(autouse=True)
def stack(settings: Any) -> Any:
    settings.EGRESS_URL = "http://egress:8002"
    settings.EGRESS_SECRETS = [SECRET, "the-one-before"]
    return settings


def librechat_config(*arguments: str) -> str:
    output = StringIO()
    call_command("librechat_config", *arguments, stdout=output)
    return output.getvalue()


def written(folder: Path, *arguments: str) -> dict[str, str]:
    librechat_config("--output", str(folder), *arguments)
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def shown_yaml() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(librechat_config("--print", "yaml"))
    return content


def test_the_yaml_is_the_tested_one() -> None:
    content, measured = shown_yaml(), yaml.safe_load(MEASURED)
    agents = content["endpoints"].pop("agents")
    assert {name: content[name] for name in measured} == measured
    assert agents["capabilities"] == ["tools"]
    assert content["mcpSettings"] == {"allowedAddresses": ["egress:8002"]}
    assert content["balance"] == {"enabled": False}
    assert re.fullmatch(r"\d+\.\d+\.\d+", content["version"])


def test_librechats_limit_on_a_tool_loop_is_above_ours(stack: Any) -> None:
    stack.TURN_MAX_CALLS = 10
    assert shown_yaml()["endpoints"]["agents"]["recursionLimit"] > 2 * 10


def test_mcp_servers_can_be_created_and_nothing_is_shared() -> None:
    interface = shown_yaml()["interface"]
    assert interface["mcpServers"] == {"use": True, "create": True, "share": False, "public": False}
    rest = [value for name, value in interface.items() if name not in {"mcpServers", "agents"}]
    assert not any(any(value.values()) if isinstance(value, dict) else value for value in rest)


def test_the_env_has_every_variable_that_is_needed(tmp_path: Path) -> None:
    values = written(tmp_path)
    assert {name: values[name] for name in REQUIRED} == REQUIRED
    assert int(values["LOGIN_MAX"]) >= 1000
    assert int(values["REGISTER_MAX"]) >= 1000
    for name, length in OWN_SECRETS.items():
        assert re.fullmatch(rf"[0-9a-f]{{{length}}}", values[name]), name
    assert len({values[name] for name in OWN_SECRETS}) == len(OWN_SECRETS)


def test_it_can_be_repeated_and_changes_nothing(tmp_path: Path) -> None:
    first = written(tmp_path)
    assert written(tmp_path) == first
    assert librechat_config("--output", str(tmp_path)).count("Unchanged") == 2


def test_a_new_secret_changes_the_env_and_nothing_in_the_yaml(stack: Any, tmp_path: Path) -> None:
    first, yaml_before = written(tmp_path), (tmp_path / "librechat.yaml").read_text()
    stack.EGRESS_SECRETS = ["n" * 32, SECRET]
    assert written(tmp_path) == {**first, "EGRESS_SECRET": "n" * 32}
    assert (tmp_path / "librechat.yaml").read_text() == yaml_before


def test_the_yaml_which_librechat_logs_has_no_secret(tmp_path: Path) -> None:
    values = written(tmp_path)
    text = (tmp_path / "librechat.yaml").read_text()
    secrets = [values[name] for name in (*OWN_SECRETS, "EGRESS_SECRET")]
    assert values["EGRESS_SECRET"] == SECRET
    assert not any(secret in text for secret in secrets)
    assert not any(secret in librechat_config("--print", "yaml") for secret in (SECRET, "the-one-before"))


def test_a_configuration_of_an_earlier_version_is_replaced(tmp_path: Path) -> None:
    """Its secret was in the YAML; its address in the .env is preserved."""
    (tmp_path / "librechat.yaml").write_text(f"endpoints: {{custom: [{{apiKey: {SECRET}}}]}}")
    (tmp_path / ".env").write_text("HOST=0.0.0.0\nPORT=3080\nCREDS_KEY=mine\n")
    values = written(tmp_path)
    assert SECRET not in (tmp_path / "librechat.yaml").read_text()
    assert (values["HOST"], values["CREDS_KEY"], values["EGRESS_SECRET"]) == ("0.0.0.0", "mine", SECRET)


def test_librechat_listens_only_on_loopback_by_default(tmp_path: Path) -> None:
    values = written(tmp_path)
    assert (values["HOST"], values["PORT"]) == ("127.0.0.1", "3080")
    assert values["DOMAIN_CLIENT"] == values["DOMAIN_SERVER"] == "http://localhost:3080"
    values = written(tmp_path, "--host", "0.0.0.0", "--port", "3180")
    assert (values["HOST"], values["PORT"]) == ("0.0.0.0", "3180")
    assert values["DOMAIN_CLIENT"] == values["DOMAIN_SERVER"] == "http://localhost:3180"
    assert written(tmp_path) == values


def test_the_operators_listen_address_is_preserved(tmp_path: Path) -> None:
    own = {
        "HOST": "10.0.0.7",
        "PORT": "4000",
        "DOMAIN_CLIENT": "https://chat.example.com",
        "DOMAIN_SERVER": "https://api.example.com",
    }
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in own.items()))
    values = written(tmp_path)
    assert {name: values[name] for name in own} == own
    values = written(tmp_path, "--port", "4001")
    assert (values["PORT"], values["DOMAIN_CLIENT"]) == ("4001", own["DOMAIN_CLIENT"])


@pytest.mark.parametrize(
    "arguments",
    [("--port", "0"), ("--port", "65536"), ("--port", "x"), ("--host", "a b"), ("--host", "x\nY=1")],
)
def test_an_invalid_host_or_port_is_refused(arguments: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=arguments[0]):
        librechat_config("--output", str(tmp_path), *arguments)
    assert not list(tmp_path.iterdir())


def test_the_operators_lines_are_preserved(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CREDS_KEY=mine\n# a remark\nUSE_REDIS=true\nSEARCH=true\n")
    values = written(tmp_path)
    assert (values["CREDS_KEY"], values["USE_REDIS"], values["SEARCH"]) == ("mine", "true", "false")
    assert written(tmp_path) == values


def test_a_configured_database_is_preserved(tmp_path: Path) -> None:
    named = "mongodb://librechat:pass%23word@mongo.internal:27017/LibreChat?authSource=admin"
    assert written(tmp_path, "--mongo-url", named)["MONGO_URI"] == named
    assert written(tmp_path)["MONGO_URI"] == named


def test_files_are_readable_only_by_their_owner(tmp_path: Path) -> None:
    written(tmp_path / "new")
    for name in ("librechat.yaml", ".env"):
        assert (tmp_path / "new" / name).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"librechat.yaml", ".env"}


def test_the_output_has_no_secrets(tmp_path: Path) -> None:
    output = librechat_config("--output", str(tmp_path))
    values = written(tmp_path)
    assert SECRET not in output
    assert not any(values[name] in output for name in OWN_SECRETS)


def test_a_file_can_be_printed() -> None:
    assert "apiKey: ${EGRESS_SECRET}" in librechat_config("--print", "yaml")
    shown = librechat_config("--print", "env")
    assert "CREDS_KEY=" in shown
    assert f"EGRESS_SECRET={SECRET}" in shown


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("http://127.0.0.1:8002", ["127.0.0.1:8002"]),
        ("http://[::1]:8002/", ["[::1]:8002"]),
        ("http://egress", ["egress:80"]),
        ("https://egress.internal", ["egress.internal:443"]),
        ("http://8.8.8.8:8002", None),
    ],
)
def test_librechat_may_reach_the_egress_wherever_it_is(
    stack: Any, url: str, addresses: list[str] | None
) -> None:
    """A public IP needs no exception, and LibreChat refuses a configuration that has one."""
    stack.EGRESS_URL = url
    endpoints = shown_yaml()["endpoints"]
    assert endpoints.get("allowedAddresses") == addresses
    assert endpoints["custom"][0]["baseURL"] == f"{url.rstrip('/')}/v1"


@pytest.mark.parametrize(
    "url", ["egress:8002", "ftp://egress", "http://", "http://egress:99999", "http://a:b@egress"]
)
def test_an_invalid_egress_url_is_refused(stack: Any, url: str, tmp_path: Path) -> None:
    stack.EGRESS_URL = url
    with pytest.raises(CommandError, match="EGRESS_URL"):
        librechat_config("--output", str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("secrets", [[], ["with a blank"], ["${HOME}"], ["ümlaut"]])
def test_a_secret_that_cannot_be_a_header_is_refused(stack: Any, secrets: list[str], tmp_path: Path) -> None:
    stack.EGRESS_SECRETS = secrets
    with pytest.raises(CommandError, match="EGRESS_SECRETS"):
        librechat_config("--output", str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "url", ["http://mongo", "mongodb://mongo/a b", "mongodb://mongo/#x", "mongodb://m/\nX=1"]
)
def test_an_invalid_mongo_url_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Mongo"):
        librechat_config("--output", str(tmp_path), "--mongo-url", url)


def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="cannot be written"):
        librechat_config("--output", str(tmp_path / "file"))


def test_it_needs_an_output() -> None:
    with pytest.raises(CommandError, match="--output"):
        librechat_config()


def test_the_stacks_mongodb_is_the_default_with_its_password(tmp_path: Path, stack: Any) -> None:
    stack.MONGO_PASSWORD = "first"
    (tmp_path / ".env").write_text("MONGO_URI=mongodb://mongodb:27017/LibreChat\n")
    url = "mongodb://librechat:{}@mongodb:27017/LibreChat?authSource=admin"
    assert written(tmp_path)["MONGO_URI"] == url.format("first")
    stack.MONGO_PASSWORD = "second"
    assert written(tmp_path)["MONGO_URI"] == url.format("second")


def test_a_custom_mongodb_is_preserved(tmp_path: Path, stack: Any) -> None:
    stack.MONGO_PASSWORD = "first"
    own = "mongodb://me:mine@db.example:27017/LibreChat?authSource=admin"
    (tmp_path / ".env").write_text(f"MONGO_URI={own}\n")
    assert written(tmp_path)["MONGO_URI"] == own


@pytest.mark.parametrize("password", ["with@sign", "with space", "a/b", "a:b"])
def test_a_password_with_url_characters_is_refused(stack: Any, password: str) -> None:
    stack.MONGO_PASSWORD = password
    with pytest.raises(CommandError, match="MONGO_PASSWORD"):
        librechat_config("--print", "env")
