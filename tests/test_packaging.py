"""The locks, the image and the targets: what a newcomer or a production host installs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SCRIPTS = Path(sys.executable).parent


def pins(lock: str) -> list[Requirement]:
    """Requirements of a lock, with their markers, without their hashes."""
    lines = (ROOT / lock).read_text().splitlines()
    return [Requirement(line.removesuffix(" \\")) for line in lines if line and not line.startswith((" ", "#"))]


def versions(lock: str, environment: dict[str, str]) -> dict[str, Version]:
    """What the lock installs in `environment`: each name once, or the test fails."""
    chosen: dict[str, Version] = {}
    for pin in pins(lock):
        if pin.marker is None or pin.marker.evaluate(environment):
            name = canonicalize_name(pin.name)
            assert name not in chosen, f"{name} is pinned twice for {environment}"
            (specifier,) = pin.specifier
            assert specifier.operator == "=="
            chosen[name] = Version(specifier.version)
    return chosen


def project() -> dict[str, Any]:
    declared: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return declared


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_of_a_lock_has_a_hash(lock):
    entries = re.split(r"^(?=\S)", (ROOT / lock).read_text(), flags=re.MULTILINE)
    entries = [entry for entry in entries if entry and not entry.startswith("#")]
    assert len(entries) > 5
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_host_or_path(lock):
    text = (ROOT / lock).read_text()
    assert re.findall(r"^.*(?:://|--(?:extra-)?index|--find-links|--trusted-host| @ ).*$", text, re.MULTILINE) == []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.lock", ["postgres", "parquet", "dask"]),
        ("requirements-dev.lock", ["postgres", "parquet", "dask", "dev"]),
    ],
)
def test_the_locks_hold_what_pyproject_asks_for(lock, extras, python):
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    locked = versions(lock, environment)
    wanted = list(project()["dependencies"])
    for extra in extras:
        wanted += project()["optional-dependencies"][extra]
    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            version = locked.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} is not in {lock}: make lock"
            assert requirement.specifier.contains(version), f"{lock} pins {requirement.name} {version}: make lock"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_tools_are_tested_beside_exactly_what_the_image_runs(python):
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    tested = versions("requirements-dev.lock", environment)
    shipped = versions("requirements.lock", environment)
    assert {name: tested.get(name) for name in shipped} == shipped


def test_the_build_lock_builds_with_what_pyproject_names():
    (backend,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert backend in (ROOT / "requirements-build.in").read_text().splitlines()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what the image's build stage gets."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in ("models", "service"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", "dist"], cwd=source)
    (built,) = (source / "dist").glob("nearcast-*.whl")
    return built


def run(command: list[str], **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """Run to the end; a failure shows what the command said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.mark.slow
def test_the_image_s_lock_and_wheel_are_enough_to_run_nearcast(wheel, tmp_path):
    environment = tmp_path / "clean"
    python = environment / "bin" / "python"
    uv = shutil.which("uv")
    venv.create(environment, with_pip=uv is None, symlinks=True)
    if uv is not None:
        install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    run([*install, "--require-hashes", "-r", str(ROOT / "requirements.lock")])
    run([*install, "--no-deps", str(wheel)])
    run([uv, "pip", "check", "--python", str(python)] if uv is not None else [str(python), "-m", "pip", "check"])

    outside = tmp_path / "outside"
    outside.mkdir()
    clean = {"PATH": f"{environment / 'bin'}:/usr/bin:/bin", "HOME": str(outside), "TMPDIR": str(outside)}
    assert "forecast" in run(["nearcast", "--help"], cwd=outside, env=clean).stdout
    assert "tcp" in run(["dask", "worker", "--help"], cwd=outside, env=clean).stdout
    run(["nearcast", "migrate"], cwd=outside, env=clean)
    assert (outside / "nearcast.db").stat().st_size > 0


def instructions(name: str = "Dockerfile") -> list[str]:
    """Instructions of the Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.lstrip().startswith("#")]
    return [line for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines() if line.strip()]


def test_hadolint_finds_nothing_in_the_dockerfile():
    run([str(SCRIPTS / "hadolint"), str(ROOT / "Dockerfile")])


def test_the_image_runs_unprivileged_in_exec_form_and_reports_its_health():
    final = instructions()
    final = final[max(i for i, line in enumerate(final) if line.startswith("FROM")) :]
    assert "USER 10001:10001" in final
    assert 'CMD ["nearcast", "serve"]' in final
    (health,) = [line for line in final if line.startswith("HEALTHCHECK")]
    assert 'CMD ["python"' in health
    assert "/healthz" in health


def test_the_base_image_is_a_build_argument_of_every_stage():
    stages = [line.split()[1] for line in instructions() if line.startswith("FROM")]
    assert stages
    assert set(stages) == {"${BASE}"}


def test_the_image_installs_only_hashed_wheels_and_its_own():
    found = [command for line in instructions() for command in re.findall(r"\bpip3?\b[^&;]*?\binstall\b[^&;]*", line)]
    assert found
    for command in found:
        hashed = "--require-hashes" in command and "--only-binary=:all:" in command
        own = "--no-deps" in command and "--no-index" in command
        assert hashed or own, command


def test_whatever_the_dockerfile_copies_reaches_the_build():
    allowed = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    copied = {
        source
        for line in instructions()
        if line.startswith("COPY") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert copied == allowed
    assert [name for name in copied if not (ROOT / name).exists()] == []


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return parsed


def test_compose_serves_read_only_on_postgresql_and_waits_for_it(compose):
    service = compose["services"]["nearcast"]
    assert service["read_only"] is True
    assert service["environment"]["NEARCAST_DATABASE_URL"].startswith("postgresql://")
    assert service["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert {volume.partition(":")[2] for volume in service["volumes"]} == {"/data"}
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_compose_has_no_password_of_its_own(compose):
    passwords = [
        value
        for service in compose["services"].values()
        for name, value in service.get("environment", {}).items()
        if "PASSWORD" in name or "URL" in name
    ]
    assert len(passwords) == 3
    assert all("${POSTGRES_PASSWORD:?" in value for value in passwords)


def test_compose_sets_only_settings_that_exist(compose):
    from service.settings import Settings

    known = {f"NEARCAST_{name.upper()}" for name in Settings.model_fields}
    assert set(compose["services"]["nearcast"]["environment"]) <= known
    used = set(re.findall(r"\bNEARCAST_[A-Z_]+", (ROOT / "Dockerfile").read_text()))
    assert used <= known


def test_the_scale_profile_adds_a_replica_and_a_cluster_and_is_left_out_otherwise(compose):
    services = compose["services"]
    scaled = {name for name, service in services.items() if service.get("profiles") == ["scale"]}
    assert scaled == {"replica", "scheduler", "worker"}
    assert set(services) - scaled == {"nearcast", "postgres"}
    assert services["replica"]["environment"] == services["nearcast"]["environment"]
    assert services["nearcast"]["environment"]["NEARCAST_DASK_ADDRESS"] == services["worker"]["command"][2]
    for name in scaled:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert all(port.startswith("127.0.0.1:") for port in services[name].get("ports", ()))
    data = [volume for service in services.values() for volume in service["volumes"] if volume.endswith(":/data")]
    assert len(set(data)) == len(data) == 4


@pytest.mark.parametrize("name", ["scheduler", "worker"])
def test_the_cluster_s_commands_are_options_that_dask_has(compose, name):
    command = compose["services"][name]["command"]
    known = run([str(SCRIPTS / command[0]), command[1], "--help"]).stdout
    options = [option for option in command[2:] if option.startswith("--")]
    assert options
    assert [option for option in options if not re.search(rf"{option}\b", known)] == []


@pytest.mark.parametrize("target", ["demo", "test", "serve", "check", "fmt", "lock", "bench", "clean"])
def test_make_knows_and_explains_its_targets(target):
    make = shutil.which("make")
    assert make is not None
    run([make, "--dry-run", "--no-print-directory", target], cwd=ROOT, env={**os.environ, "MAKEFLAGS": ""})
    assert re.search(rf"^make {target} ", run([make, "-s", "help"], cwd=ROOT).stdout, re.MULTILINE)


def test_ci_runs_what_the_readme_says():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    run(["bash", "-n", str(script)])
    commands = script.read_text().splitlines()
    assert "make check" in commands
    assert "make test" in commands
