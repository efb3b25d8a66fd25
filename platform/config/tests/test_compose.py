"""`docker-compose.yml` publishes one port, and LibreChat reaches only what it needs."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from devserver.up import STOP_MARGIN_SECONDS
from gateway.tests.needs import needs
from gateway.turns import background
from gateway.turns.runner import CLOSE_SECONDS
from kit.tests.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text()
STACK: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
OURS = {"web", "egress", "worker", "migrate", "librechat-config"}
PASSWORDS = "POSTGRES_PASSWORD=x\nREDIS_PASSWORD=x\nMONGO_PASSWORD=x\n"
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::?([-?])([^}]*))?\}")


def networks_of(name: str) -> set[str]:
    return set(SERVICES[name].get("networks", [] if "network_mode" in SERVICES[name] else ["default"]))


def neighbours_of(name: str) -> set[str]:
    return {other for other in SERVICES if other != name and networks_of(other) & networks_of(name)}


def images() -> Iterator[tuple[str, str]]:
    for name, service in SERVICES.items():
        yield name, VARIABLE.sub(lambda found: found[3] or "", service["image"])


def compose_command() -> list[str] | None:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    plugin = ["docker", "compose"]
    found = (
        shutil.which("docker")
        and not subprocess.run([*plugin, "version"], check=False, capture_output=True, timeout=60).returncode
    )
    return plugin if found else None


def test_only_web_is_published_by_default_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if service.get("ports")}
    assert published == {"web": ["${PUBLISHED_ADDRESS:-127.0.0.1:8000}:8000"]}
    assert not [name for name, service in SERVICES.items() if service.get("network_mode") == "host"]


def test_librechat_reaches_only_the_egress_its_database_and_its_callers() -> None:
    assert neighbours_of("librechat") == {"egress", "mongodb", "web", "worker"}
    assert neighbours_of("mongodb") == {"librechat"}


def test_librechat_and_the_databases_have_no_internet_access() -> None:
    leading_out = {name for name, network in STACK["networks"].items() if not (network or {}).get("internal")}
    assert leading_out == {"outside"}
    assert {name for name in SERVICES if networks_of(name) & leading_out} == {"web", "egress", "worker"}


def test_librechat_sees_neither_our_database_nor_our_environment() -> None:
    librechat = SERVICES["librechat"]
    assert not {"postgres", "redis"} & neighbours_of("librechat")
    assert not {"env_file", "environment"} & set(librechat)
    assert all(mount["read_only"] for mount in librechat["volumes"])


def test_every_image_is_pinned() -> None:
    for name, image in images():
        tag = image.rpartition("/")[2].partition(":")[2]
        assert tag not in {"", "latest"}, f"{name} runs {image}"
        assert name in OURS or re.search(r"\d+\.\d+", tag), f"{name} runs {image}, a moving tag"


def test_our_containers_are_read_only_and_gain_no_privileges() -> None:
    for name in OURS:
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert all(service["security_opt"] == ["no-new-privileges:true"] for service in SERVICES.values())
    assert all(service.get("mem_limit") for service in SERVICES.values())


def test_migrations_run_before_anything_serves() -> None:
    for name in ("web", "egress", "worker"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_the_egress_is_served_as_the_image_serves_the_web() -> None:
    """The same server with the same flags, so that findings for one apply to the other."""
    served = re.search(r"^CMD \[(.*config\.asgi.*)\]$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert served
    web = [word.strip().strip('"') for word in served[1].split(",")]
    swapped = {"config.asgi:application": "config.egress:application", "8000": "8002"}
    assert SERVICES["egress"]["command"] == [swapped.get(word, word) for word in web]


def test_services_that_run_turns_may_take_grace_plus_a_minute_to_stop() -> None:
    """`1m${GRACE:-30}s`, read as a duration, is a minute more than GRACE."""
    for name in ("web", "egress"):
        assert SERVICES[name]["stop_grace_period"] == "1m${GRACE:-30}s"
    (served,) = re.findall(r'"--timeout-graceful-shutdown", "(\d+)"', (ROOT / "Dockerfile").read_text())
    assert background.GOODBYE_SECONDS + CLOSE_SECONDS + int(served) < STOP_MARGIN_SECONDS < 60


def test_every_volume_and_network_is_used_and_declared() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {mount.split(":")[0] for mount in mounts if isinstance(mount, str)} == set(STACK["volumes"])
    assert set().union(*(networks_of(name) for name in SERVICES)) == set(STACK["networks"])


def test_every_variable_is_documented() -> None:
    page = (ROOT / "docs/librechat.md").read_text()
    for name, *_ in VARIABLE.findall(TEXT):
        assert f"| `{name}` |" in page, f"docs/librechat.md does not document {name}"


def test_every_variable_without_a_default_stops_the_start() -> None:
    without = {name: kind for name, kind, _ in VARIABLE.findall(TEXT) if kind != "-"}
    assert without == dict.fromkeys(["POSTGRES_PASSWORD", "REDIS_PASSWORD", "MONGO_PASSWORD"], "?")


def test_every_database_needs_a_password_that_no_command_line_shows() -> None:
    secrets = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "MONGO_PASSWORD")
    for service in SERVICES.values():
        shown = f"{service.get('command')} {service.get('healthcheck')}"
        assert not [name for name in secrets if name in shown]
    assert "${MONGO_PASSWORD:" in SERVICES["mongodb"]["environment"]["MONGO_INITDB_ROOT_PASSWORD"]
    assert "${REDIS_PASSWORD:" in SERVICES["redis"]["environment"]["REDISCLI_AUTH"]
    assert "://:${REDIS_PASSWORD:" in SERVICES["web"]["environment"]["REDIS_URL"]


@needs("redis-server")
@pytest.mark.slow
def test_redis_starts_with_its_password_and_requires_it(tmp_path: Path) -> None:
    """The stack's own command, with this test's port and folder."""
    port = free_port()
    script = SERVICES["redis"]["command"][-1].replace("$$", "$").replace("/tmp/", f"{tmp_path}/")
    script = script.replace("save", f"port {port}\\nbind 127.0.0.1\\nsave", 1)
    with subprocess.Popen(
        ["sh", "-c", script], env={**os.environ, "REDISCLI_AUTH": "only-here-1"}, cwd=tmp_path
    ) as server:
        try:
            known = redis.Redis(port=port, password="only-here-1", retry=Retry(ConstantBackoff(0.1), 50))
            assert known.ping()
            with pytest.raises(redis.AuthenticationError):
                redis.Redis(port=port).ping()
            assert "only-here-1" not in Path(f"/proc/{server.pid}/cmdline").read_text()
            assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0
        finally:
            server.terminate()


def test_every_tmpfs_is_bounded() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("tmpfs", [])]
    assert mounts
    assert all(re.search(r"size=\d+m\b", mount) for mount in mounts), mounts


@pytest.mark.skipif(
    compose_command() is None and not os.environ.get("REQUIRE_ALL"),
    reason="there is neither docker-compose nor docker compose on this machine",
)
def test_compose_accepts_the_file(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"{(ROOT / '.env.example').read_text()}\n{PASSWORDS}")
    command = compose_command()
    assert command, "there is neither docker-compose nor docker compose"
    command += ["--project-directory", str(tmp_path), "--env-file", str(env_file)]
    done = subprocess.run(
        [*command, "--file", str(ROOT / "docker-compose.yml"), "config", "--quiet"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
