"""The Compose file: of the specification's shape, with nothing that is not there, nothing open, nobody root."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.settings import Settings
from tests.unit.deploy.files import ROOT, SERVICES, compose, is_setting, pinned

SCHEMA = ROOT / "tests" / "data" / "standards" / "compose-spec.json"
OURS = "tocsin:local"
FILE = compose()
EVERY = sorted(FILE["services"])


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = FILE["services"][name]
    return found


def test_it_is_what_the_compose_specification_says() -> None:
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    assert [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(FILE)] == []


def test_the_schema_would_tell_a_misspelt_key() -> None:
    wrong = {"services": {"x": {"image": "y", "depend_on": ["z"]}}}
    assert not Draft202012Validator(json.loads(SCHEMA.read_text())).is_valid(wrong)


def test_everything_that_the_issue_names_is_there() -> None:
    assert set(EVERY) == {*SERVICES, "migrate", "gateway", "kafka", "postgres", "mail"}


@pytest.mark.parametrize("name", EVERY)
def test_what_a_service_refers_to_exists(name: str) -> None:
    one = service(name)
    assert set(one.get("depends_on", {})) <= set(EVERY)
    assert set(one["networks"]) <= set(FILE["networks"])
    for volume in one.get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).is_dir() if source.startswith(".") else source in FILE["volumes"]
    for needed, how in one.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in service(needed)


@pytest.mark.parametrize("name", EVERY)
def test_nobody_is_root_and_no_image_floats(name: str) -> None:
    one = service(name)
    assert one["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in one["security_opt"]
    assert "privileged" not in one
    if one["image"] == OURS:
        assert one["read_only"]  # its user is in the Dockerfile
    else:
        assert str(one["user"]) not in ("root", "0", "0:0")
        assert pinned(one["image"])


@pytest.mark.parametrize("name", EVERY)
def test_only_this_machine_reaches_a_published_port(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in service(name).get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_after_the_migration_and_answers_for_its_health(name: str) -> None:
    one = service(name)
    assert one["command"] == ["python", "-m", f"services.{name}"]
    assert one["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert one["depends_on"]["kafka"] == {"condition": "service_healthy"}
    assert "/readyz" in one["healthcheck"]["test"][-1]
    seconds = int(one["stop_grace_period"].removesuffix("s"))
    assert seconds > 2 * Settings().drain_s  # loops drain, then the relay


@pytest.mark.parametrize("name", [*SERVICES, "migrate"])
def test_the_settings_are_ones_that_the_program_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = service(name)["environment"]
    assert all(is_setting(variable) for variable in written)
    for variable, value in written.items():
        if value is not None:
            monkeypatch.setenv(variable, interpolated(value, {"TOCSIN_ADMIN_KEY": "k", "TOCSIN_SECRET_KEY": "s"}))
    settings = Settings()
    assert settings.bootstrap_servers == "kafka:9092"
    assert settings.database_url
    assert settings.database_url.get_secret_value() == "postgresql+asyncpg://tocsin:tocsin@postgres:5432/tocsin"


def test_there_is_no_admin_key_that_everybody_knows() -> None:
    with pytest.raises(ValueError, match="Set TOCSIN_ADMIN_KEY"):
        interpolated(service("intake")["environment"]["TOCSIN_ADMIN_KEY"], {})


def interpolated(value: str, variables: dict[str, str]) -> str:
    """As Compose does it: ``${NAME:-default}`` and ``${NAME:?what to do}``."""

    def replace(found: re.Match[str]) -> str:
        if given := variables.get(found["name"]):
            return given
        if found["how"] == ":?":
            raise ValueError(found["rest"])
        return found["rest"]

    return re.sub(r"\$\{(?P<name>\w+)(?P<how>:[-?])(?P<rest>[^}]*)\}", replace, value)


def test_the_broker_keeps_events_as_long_as_the_program_expects() -> None:
    broker = service("kafka")["environment"]
    assert int(broker["KAFKA_LOG_RETENTION_HOURS"]) == Settings().log_days * 24
    assert int(broker["KAFKA_OFFSETS_RETENTION_MINUTES"]) == Settings().inbox_days * 24 * 60
    assert broker["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


@pytest.mark.parametrize("name", SERVICES)
def test_its_command_starts_and_says_what_it_needs(name: str) -> None:
    command = [sys.executable, *service(name)["command"][1:]]
    bare = {key: value for key, value in os.environ.items() if not key.startswith("TOCSIN_")}
    ran = subprocess.run(command, env=bare, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("Set TOCSIN_DATABASE_URL")


def test_the_migrations_command_is_installed_by_the_project() -> None:
    command, *arguments = service("migrate")["command"]
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts[command].partition(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    runs = f"import sys, {module} as m; sys.argv[1:] = {[*arguments, '--help']}; m.{function}()"
    ran = subprocess.run(
        [sys.executable, "-c", runs], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "schema" in ran.stdout
