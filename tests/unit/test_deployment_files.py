"""The image and the compose file, as far as a parser can judge them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from ledger.cli.main import app
from ledger.settings import Settings

ROOT = Path(__file__).parents[2]

TOP_LEVEL = {"name", "services", "volumes", "secrets", "networks", "configs"}
SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "ports", "read_only",
    "restart", "secrets", "security_opt", "shm_size", "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip
INSTRUCTIONS = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "SHELL",
    "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return parsed


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """Each instruction with its arguments, continuation lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def known_settings() -> set[str]:
    return {f"LEDGER_{name.upper()}" for name in Settings.model_fields}


def test_compose_file_has_only_keys_that_compose_knows(compose: dict[str, Any]) -> None:
    assert set(compose) <= TOP_LEVEL
    for service in compose["services"].values():
        assert set(service) <= SERVICE_KEYS


def test_database_and_service_are_both_there_and_say_when_they_are_healthy(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"postgres", "ledger"}
    for service in compose["services"].values():
        assert {"test", "interval", "timeout", "retries"} <= set(service["healthcheck"])
    assert "/readyz" in compose["services"]["ledger"]["healthcheck"]["test"][-1]


def test_service_waits_for_a_healthy_database(compose: dict[str, Any]) -> None:
    assert compose["services"]["ledger"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_database_image_is_pinned_to_a_major_version(compose: dict[str, Any]) -> None:
    assert re.fullmatch(r"postgres:\d+(\.\d+)?", compose["services"]["postgres"]["image"])


def test_ports_are_published_to_this_machine_only(compose: dict[str, Any]) -> None:
    assert "ports" not in compose["services"]["postgres"]
    for port in compose["services"]["ledger"]["ports"]:
        assert port.startswith("127.0.0.1:")


def test_volumes_and_secrets_in_use_are_declared(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(compose["volumes"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])


def test_no_secret_is_written_into_the_compose_file(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            if "PASSWORD" in name:
                assert str(value).startswith("/run/secrets/")
    url = compose["services"]["ledger"]["environment"]["LEDGER_DATABASE_URL"]
    assert re.search(r":\$\{LEDGER_DB_PASSWORD:\?[^}]+\}@postgres:5432/", url)
    for secret in compose["secrets"].values():
        assert set(secret) == {"environment"} or not (ROOT / secret["file"]).exists()


def test_commands_of_the_first_start_reach_the_program() -> None:
    """`exec` names the program; `run` gives its words to the image's entry point, which is the program already."""
    told = re.findall(r"^# +docker compose (run|exec) (.+)$", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE)
    assert {way for way, _ in told} == {"run", "exec"}
    commands = typer.main.get_command(app)
    assert isinstance(commands, typer.core.TyperGroup)
    for way, line in told:
        service, *words = [word for word in line.split() if not word.startswith("--")]
        assert service == "ledger"
        if way == "exec":
            assert words.pop(0) == "ledger"
        assert words[0] in commands.commands, line


def test_every_setting_that_compose_and_image_set_exists(
    compose: dict[str, Any], dockerfile: list[tuple[str, str]]
) -> None:
    in_compose = set(compose["services"]["ledger"]["environment"])
    in_image = {name for kind, text in dockerfile if kind == "ENV" for name in re.findall(r"\b(LEDGER_\w+)=", text)}
    assert in_compose | in_image <= known_settings()
    assert all(name.startswith("LEDGER_") for name in in_compose)


def test_dockerfile_has_only_known_instructions_and_pinned_images(dockerfile: list[tuple[str, str]]) -> None:
    assert {kind for kind, _ in dockerfile} <= INSTRUCTIONS
    images = [text.split()[0] for kind, text in dockerfile if kind == "FROM"]
    assert images == ["python:3.11-slim", "python:3.11-slim"]


def test_image_installs_with_hashes_and_runs_without_rights(dockerfile: list[tuple[str, str]]) -> None:
    installs = [text for kind, text in dockerfile if kind == "RUN" and "pip install" in text]
    assert any("--require-hashes -r requirements/runtime.txt" in text for text in installs)
    assert all("--require-hashes" in text or "--no-deps" in text for text in installs)
    assert [text for kind, text in dockerfile if kind == "USER"] == ["ledger"]


def test_what_the_image_copies_is_let_through_to_its_build(dockerfile: list[tuple[str, str]]) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for kind, text in dockerfile:
        if kind == "COPY" and not text.startswith("--from"):
            for source in text.split()[:-1]:
                assert (ROOT / source).exists()
                assert source.split("/")[0] in allowed


@pytest.mark.parametrize("name", ["runtime", "dev"])
def test_locked_requirements_have_hashes_and_no_addresses(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    pins = re.findall(r"^[\w.\[\]-]+==", text, re.MULTILINE)
    assert pins
    for block in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_development_uses_the_versions_that_run() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))

    runtime, dev = pins("runtime"), pins("dev")
    assert {name: version for name, version in dev.items() if name in runtime} == {
        name: runtime[name] for name in dev if name in runtime
    }
