"""docs/operate.md can be followed: its units, manifests, settings, metrics and commands are sound."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from service.cli import make_cli
from service.observability import Metrics, ServedCollector
from service.schedule import check_schedule
from service.serving import Serving
from service.settings import Settings
from service.store.database import Database

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "operate.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_systemd_units_are_sound(tmp_path):
    if (analyze := shutil.which("systemd-analyze")) is None:
        pytest.skip("no systemd-analyze on this machine")
    units = []
    for block in blocks("ini"):
        path = tmp_path / Path(block.partition("\n")[0].removeprefix("# ")).name
        # That nothing is installed at these paths, and nobody has this name, is no matter of the unit.
        path.write_text(block.replace("/opt/nearcast/bin/nearcast", sys.executable).replace("User=nearcast\n", ""))
        units.append(path)
    assert {path.suffix for path in units} == {".service", ".timer"}
    verified = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    (calendar,) = re.findall(r"OnCalendar=(.+)", TEXT)
    assert subprocess.run([analyze, "calendar", calendar], capture_output=True, check=False).returncode == 0


def test_the_kubernetes_manifest_runs_what_the_image_runs():
    (manifest,) = map(yaml.safe_load, blocks("yaml"))
    assert manifest["kind"] == "CronJob"
    check_schedule(manifest["spec"]["schedule"])
    (container,) = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][:3] == ["nearcast", "retrain", "--if-due"]
    assert container["volumeMounts"][0]["mountPath"] == "/data"


def test_the_airflow_dag_compiles():
    (dag,) = blocks("python")
    compile(dag, "dag.py", "exec")
    check_schedule(re.search(r'schedule="([^"]+)"', dag).group(1))


def test_the_cron_line_is_one():
    (table,) = blocks("crontab")
    *settings, line = table.splitlines()
    assert all(re.fullmatch(r"NEARCAST_[A-Z_]+=\S+", setting) for setting in settings)
    check_schedule(" ".join(line.split()[:5]))


def test_each_setting_and_metric_spoken_of_exists(tmp_path):
    named = set(re.findall(r"NEARCAST_[A-Z_]+", TEXT))
    assert named - {"NEARCAST_KEY"} <= {f"NEARCAST_{name.upper()}" for name in Settings.model_fields}  # the client's
    metrics = Metrics()
    with Database(f"sqlite:///{tmp_path / 'none.db'}") as database:
        served = {metric.name for metric in ServedCollector(Serving(database)).collect()}
    known = served | {metric.name for metric in metrics.registry.collect()}
    told = {name.removesuffix("_total") for name in re.findall(r"\bnearcast_[a-z_]+", TEXT)}
    assert told - {"nearcast_retrain", "nearcast_database_url"} <= known  # names of Airflow's


def test_each_command_and_option_of_the_document_exists():
    from typer.main import get_command

    cli = get_command(make_cli())
    lines = re.findall(r"nearcast(?: nearcast)?((?: [a-z]+)(?: [^`\n#|>\"]*)?)", TEXT)
    options = {}
    for line in lines:
        command, *words = line.split()
        if words and words[0] in getattr(cli.commands.get(command), "commands", ()):
            cli.commands[f"{command} {words[0]}"] = cli.commands[command].commands[words[0]]
            command = f"{command} {words[0]}"
        if command != "funnels":  # a word of the text
            options.setdefault(command, set()).update(word for word in words if word.startswith("--"))
    assert set(options) <= set(cli.commands)
    assert {"serve", "retrain", "ingest", "status", "activate", "migrate", "keys create", "keys revoke"} <= set(options)
    for command, used in options.items():
        known = {name for parameter in cli.commands[command].params for name in parameter.opts}
        assert used <= known, command
