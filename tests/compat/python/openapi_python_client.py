"""openapi-python-client: generates a client from `/v1/schema` and calls the API with it."""

import importlib
import json
import pkgutil
import re
import subprocess
import sys
import typing
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from checks import KEY, URL, check, equal, run
from conversation import GREETING, HELLO, MODEL

GENERATOR = str(Path(sys.executable).with_name("openapi-python-client"))
SCHEMA = Path.cwd() / "schema.json"
PACKAGE = Path.cwd() / "generated"
# Reports of a missing operation or answer. The generator has no types for pictures, streams and downloads.
LOSS = re.compile(r".*will not be generated.*|Cannot parse response.*content_type (?!image/|text/).*")


def generate() -> str:
    """Generates the client; returns the generator's report."""
    with urllib.request.urlopen(f"{URL}/v1/schema?format=json", timeout=60) as answer:
        SCHEMA.write_bytes(answer.read())
    command = [GENERATOR, "generate", "--path", str(SCHEMA), "--output-path", str(PACKAGE), "--meta", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    equal(done.returncode, 0)
    return done.stdout + done.stderr


def operations() -> Iterator[ModuleType]:
    """The generated module of each operation."""
    sys.path.insert(0, str(PACKAGE.parent))
    api = importlib.import_module("generated.api")
    for found in pkgutil.walk_packages(api.__path__, "generated.api."):
        module = importlib.import_module(found.name)
        if hasattr(module, "sync_detailed"):
            yield module


def operation(method: str, path: str) -> Any:
    operation_id = json.loads(SCHEMA.read_text())["paths"][path][method]["operationId"]
    found = [module for module in operations() if module.__name__.rpartition(".")[2] == operation_id]
    assert found, f"{operation_id} was not generated"
    return found[0]


def client() -> Any:
    generated = importlib.import_module("generated")
    return generated.AuthenticatedClient(base_url=URL, token=KEY, timeout=30)


@check("schema generated")
def _() -> None:
    """Every operation is generated and can be imported."""
    report = generate()
    lost = LOSS.findall(report)
    paths = json.loads(SCHEMA.read_text())["paths"]
    methods = {"get", "post", "put", "patch", "delete"}
    described = sum(method in methods for each in paths.values() for method in each)
    equal((lost, len(list(operations()))), ([], described))


@check("schema whole")
def _() -> None:
    module = operation("post", "/v1/chat/completions")
    body_type = typing.get_type_hints(module._get_kwargs)["body"]
    body = body_type.from_dict({"model": MODEL, "messages": HELLO})
    answer = module.sync_detailed(client=client(), body=body)
    equal(answer.status_code, 200)
    equal(answer.parsed.choices[0].message.content, GREETING)
    assert answer.parsed.usage.prompt_tokens > 0, answer.parsed.usage


@check("schema models")
def _() -> None:
    module = operation("get", "/v1/models")
    answer = module.sync_detailed(client=client())
    assert MODEL in [model.id for model in answer.parsed.data], answer.parsed


run()
