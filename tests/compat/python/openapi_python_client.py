"""openapi-python-client: a client generated from `/v1/schema`, and calls with it."""

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

from checks import GREETING, KEY, URL, check, equal, run

GENERATOR = str(Path(sys.executable).with_name("openapi-python-client"))
SCHEMA = Path.cwd() / "schema.json"
PACKAGE = Path.cwd() / "generated"
# An operation that is left out, or an answer; the generator has no types for pictures, streams and downloads.
LOSS = re.compile(r".*will not be generated.*|Cannot parse response.*content_type (?!image/|text/).*")


def generate() -> str:
    """What the generator reports."""
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


def operation(operation_id: str) -> Any:
    found = [module for module in operations() if module.__name__.rpartition(".")[2] == operation_id]
    assert found, f"{operation_id} was not generated"
    return found[0]


def client() -> Any:
    generated = importlib.import_module("generated")
    return generated.AuthenticatedClient(base_url=URL, token=KEY, timeout=30)


@check("schema generated")
def _() -> None:
    """Every operation, and all of it can be imported."""
    report = generate()
    lost = LOSS.findall(report)
    paths = json.loads(SCHEMA.read_text())["paths"]
    methods = {"get", "post", "put", "patch", "delete"}
    described = sum(method in methods for each in paths.values() for method in each)
    equal((lost, len(list(operations()))), ([], described))


@check("schema whole")
def _() -> None:
    schema = json.loads(SCHEMA.read_text())
    operation_id = schema["paths"]["/v1/chat/completions"]["post"]["operationId"]
    module = operation(operation_id)
    body_type = typing.get_type_hints(module._get_kwargs)["body"]
    body = body_type.from_dict({"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hello"}]})
    answer = module.sync_detailed(client=client(), body=body)
    equal(answer.status_code, 200)
    equal(answer.parsed.choices[0].message.content, GREETING)
    assert answer.parsed.usage.prompt_tokens > 0, answer.parsed.usage


@check("schema models")
def _() -> None:
    schema = json.loads(SCHEMA.read_text())
    module = operation(schema["paths"]["/v1/models"]["get"]["operationId"])
    answer = module.sync_detailed(client=client())
    assert "gpt-4.1" in [model.id for model in answer.parsed.data], answer.parsed


run()
