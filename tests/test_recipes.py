"""The cluster recipes in docs/: the Slurm script with substitutes for Slurm, the manifests against their schemas."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import kubernetes_validate
import psutil
import pytest
import yaml

from gan_zoo.replicas import workers
from gan_zoo.util import errors

from .waiting import HANGING, wait_until

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "docs" / "slurm" / "train.sbatch"
KUBERNETES = ROOT / "docs" / "kubernetes"
PAGE = (ROOT / "docs" / "cluster.md").read_text()
FLAGS = set(re.findall(r'flags\.DEFINE_\w+\(\s*"(\w+)"', (ROOT / "gan_zoo" / "training" / "command.py").read_text()))
STAYS = [errors.Stopped.exit_status, errors.UserError.exit_status]
"""Exit statuses for which a restart does not help."""


def flags_of(words):
    """Returns names and values of the flags in a command."""
    pairs = [word.removeprefix("--").partition("=") for word in words if word.startswith("--")]
    assert {name for name, _, _ in pairs} <= FLAGS
    return {name: value for name, _, value in pairs}


# Slurm.

# Long options of sbatch that scripts may hold, from its manual page (Slurm 24.11).
OPTIONS = {"job-name", "nodes", "ntasks-per-node", "cpus-per-task", "mem", "time", "signal", "requeue", "open-mode"}
OPTIONS |= {"output", "gpus-per-node", "partition", "account"}

# Runs the tasks of a step at once, as `srun` does on as many nodes, and returns the highest exit status.
SRUN = """#!/bin/bash
export STEP=$(($(cat steps 2>/dev/null || echo 0) + 1))
echo "$STEP" >steps
until [[ $1 == bash ]]; do echo "$1" >>srun-options; shift; done
for ((node = 0; node < SLURM_NNODES; node++)); do
    SLURM_NODEID=$node "$@" &
    tasks+=("$!")
done
echo "${tasks[@]}" >tasks
highest=0
for task in "${tasks[@]}"; do
    status=0
    wait "$task" || status=$?
    ((status > highest)) && highest=$status
done
exit "$highest"
"""

SCONTROL = """#!/bin/bash
if [[ "$1 $2" == "show hostnames" ]]; then
    echo "${3//,/$'\\n'}"
else
    echo "$*" >>requeued
    exit "$(cat requeue-status)"
fi
"""

# Each start of each worker ends with a predefined status. "TERM" waits for the signal and saves.
PYTHON = """#!/bin/bash
printf '%s\\n' "$@" >"command-$STEP-$SLURM_NODEID"
status=$(cat "status-$STEP-$SLURM_NODEID")
case $status in
    TERM)
        trap 'sleep 0.3; touch "saved-$SLURM_NODEID"; exit 143' TERM
        touch "training-$SLURM_NODEID"
        while true; do sleep 0.05; done ;;
    KILL) kill -KILL $$ ;;
    *) exit "$status" ;;
esac
"""


class SlurmJob:
    """An allocation of nodes that runs the script. `statuses` has the exit status of each worker at each start."""

    def __init__(self, folder, statuses, *, id=123456, requeue_status=0, arguments=(), **environment):
        self.folder, self.nodes = folder, len(statuses[0])
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / "bin").mkdir()
        for path, text in {"bin/srun": SRUN, "bin/scontrol": SCONTROL, ".venv/bin/python": PYTHON}.items():
            (folder / path).write_text(text)
            (folder / path).chmod(0o755)
        for step, row in enumerate(statuses, start=1):
            for index, status in enumerate(row):
                (folder / f"status-{step}-{index}").write_text(f"{status}\n")
        (folder / "requeue-status").write_text(str(requeue_status))
        self.process = subprocess.Popen(
            ["bash", str(SCRIPT), *arguments],
            cwd=folder,
            env={
                "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
                "SLURM_SUBMIT_DIR": str(folder),
                "SLURM_JOB_ID": str(id),
                "SLURM_JOB_NODELIST": ",".join(f"node{k}" for k in range(self.nodes)),
                "SLURM_NNODES": str(self.nodes),
                "SLURM_CPUS_PER_TASK": "8",
                **environment,
            },
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self):
        """Waits for the end, and returns the exit status and the output of the script."""
        try:
            _, said = self.process.communicate(timeout=HANGING)
        finally:
            self.process.kill()
        return self.process.returncode, said

    def starts(self, index):
        """Returns the commands of a worker, one for each start."""
        steps = int((self.folder / "steps").read_text())
        return [(self.folder / f"command-{k}-{index}").read_text().splitlines() for k in range(1, steps + 1)]

    @property
    def requeued(self):
        path = self.folder / "requeued"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_training(self):
        wait_until(
            lambda: all((self.folder / f"training-{k}").exists() for k in range(self.nodes)),
            lambda: self.process.poll() is None,
            self.end,
        )

    def signal_workers(self):
        """Sends SIGTERM to each task's shell and its children, as Slurm does."""
        for shell in map(int, (self.folder / "tasks").read_text().split()):
            for process in [psutil.Process(shell), *psutil.Process(shell).children()]:
                process.send_signal(signal.SIGTERM)


def test_the_script_is_bash_and_its_options_are_known():
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    lines = SCRIPT.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    options = [line for line in lines if line.startswith("#SBATCH")]
    # Slurm reads options only before the first command.
    assert lines[1 : 1 + len(options)] == options
    parsed = dict(re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line).groups() for line in options)
    assert parsed.keys() <= OPTIONS
    assert parsed["ntasks-per-node"] == "1"
    # Without "B:" the signal goes to the workers, not to the shell.
    assert parsed["signal"] == "TERM@120"
    assert parsed["open-mode"] == "append"
    assert "requeue" in parsed


@pytest.mark.parametrize("nodes", [1, 2, 4])
def test_the_commands_of_all_workers(tmp_path, nodes):
    job = SlurmJob(tmp_path, [[0] * nodes], arguments=["--steps=7", "--set", "gp_weight=1.0"])
    assert job.end() == (0, "")
    names = ",".join(f"node{k}:23456" for k in range(nodes))
    for index in range(nodes):
        (command,) = job.starts(index)
        assert command[0] == str(tmp_path / "train.py")
        assert command[-4:] == ["--steps=7", "--set", "gp_weight=1.0", f"--worker_index={index}"]
        flags = flags_of(command)
        assert (flags["strategy"], flags["workers"]) == ("multi_worker", names)
        assert flags["run_dir"] == str(tmp_path / "runs" / "wgan_gp-celeb_a")
        # The page prepares the data in the same folders.
        for name in ("data_dir", "cache_dir"):
            assert f"--{name}={flags[name].replace(str(tmp_path), '$PWD')} " in PAGE
        assert workers.of_flags(flags["workers"], int(flags["worker_index"])).is_chief == (index == 0)
    options = (tmp_path / "srun-options").read_text().splitlines()
    assert options == ["--kill-on-bad-exit=0", "--wait=300", "--ntasks-per-node=1", "--cpus-per-task=8"]
    assert job.requeued == []


def test_after_a_loss_all_workers_start_again_with_the_same_commands(tmp_path):
    lost = errors.WorkerLost.exit_status
    job = SlurmJob(tmp_path, [[lost, "KILL"], ["KILL", lost], [lost, lost], [0, 0]])
    status, said = job.end()
    assert status == 0
    assert re.findall(r"exit status (\d+): all workers start again", said) == ["137", "137", "75"]
    for index in range(2):
        starts = job.starts(index)
        assert len(starts) == 4
        assert all(start == starts[0] for start in starts)
    assert job.requeued == []


def test_restarts_are_limited(tmp_path):
    job = SlurmJob(tmp_path, [[75]] * 12)
    status, said = job.end()
    assert status == 75
    assert "exit status 75 after 10 restarts: no more" in said
    assert len(job.starts(0)) == 11


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [([2, 75], 2), ([1, 75], 1), ([75, 2], 2), ([1, 143], 1), ([2, "KILL"], 2), ([1, 1], 1), ([1, 2], 2)],
)
def test_reasons_that_stay_end_the_job_whatever_the_others_say(tmp_path, statuses, expected):
    job = SlurmJob(tmp_path, [statuses])
    status, said = job.end()
    assert status == expected
    assert "exit status" not in said
    assert job.requeued == []


@pytest.mark.parametrize(("requeue_status", "failed"), [(0, False), (1, True)])
def test_before_the_time_limit_workers_save_and_the_job_is_queued_again(tmp_path, requeue_status, failed):
    job = SlurmJob(tmp_path, [["TERM", "TERM"]], requeue_status=requeue_status)
    job.wait_for_training()
    job.signal_workers()
    status, said = job.end()
    assert status == errors.Interrupted("", signal.SIGTERM).exit_status
    assert (tmp_path / "saved-0").exists()
    assert (tmp_path / "saved-1").exists()
    assert job.requeued == ["requeue 123456"]
    assert "exit status 143: job 123456 goes back to the queue" in said
    assert ("could not be queued again" in said) == failed


def test_a_loss_just_before_the_time_limit_queues_the_job_again(tmp_path):
    job = SlurmJob(tmp_path, [[75, 75]], SLURM_JOB_END_TIME=str(int(time.time()) + 100))
    assert job.end()[0] == 75
    assert job.requeued == ["requeue 123456"]


def test_a_job_that_is_cancelled_stays_so(tmp_path):
    job = SlurmJob(tmp_path, [["TERM", "TERM"]])
    job.wait_for_training()
    job.process.send_signal(signal.SIGTERM)
    job.signal_workers()
    assert job.end() == (143, "")
    assert (tmp_path / "saved-0").exists()
    assert job.requeued == []
    assert len(job.starts(0)) == 1


# Kubernetes.

MANIFESTS = {path.name: list(yaml.safe_load_all(path.read_text())) for path in sorted(KUBERNETES.glob("*.yaml"))}
# podFailurePolicy and podReplacementPolicy exist in all of them.
VERSIONS = ["1.31", kubernetes_validate.latest_version()]


def manifest(kind, file="train.yaml"):
    (found,) = [document for document in MANIFESTS[file] if document["kind"] == kind]
    return found


def pod(file="train.yaml"):
    return manifest("Job", file)["spec"]["template"]


def container(file="train.yaml"):
    (only,) = pod(file)["spec"]["containers"]
    return only


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_fit_their_schemas(version):
    assert MANIFESTS.keys() == {"data.yaml", "train.yaml"}
    kinds = [document["kind"] for document in MANIFESTS["train.yaml"]]
    assert kinds == ["PersistentVolumeClaim", "Service", "NetworkPolicy", "Job"]
    for document in sum(MANIFESTS.values(), []):
        assert kubernetes_validate.validate(document, version, strict=True) == version.removesuffix(".0")
    broken = json.loads(json.dumps(manifest("Job")))
    broken["spec"]["template"]["spec"]["subdomains"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError, match="subdomains"):
        kubernetes_validate.validate(broken, version, strict=True)


def test_pods_have_the_names_and_ports_of_the_workers():
    job, service, policy = manifest("Job"), manifest("Service"), manifest("NetworkPolicy")
    spec, flags = job["spec"], flags_of(container()["args"])
    assert spec["completionMode"] == "Indexed"
    name = service["metadata"]["name"]
    assert pod()["spec"]["subdomain"] == name
    (port,) = {port["containerPort"] for port in container()["ports"]}
    expected = [f"{job['metadata']['name']}-{index}.{name}:{port}" for index in range(spec["completions"])]
    assert flags["workers"].split(",") == expected
    assert spec["parallelism"] == spec["completions"]
    assert workers.of_flags(flags["workers"], 0).is_chief
    assert flags["worker_index"] == "$(JOB_COMPLETION_INDEX)"
    assert flags["strategy"] == "multi_worker"

    assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
    labels = pod()["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    assert [p["port"] for p in service["spec"]["ports"]] == [port]
    assert policy["spec"]["podSelector"] == {"matchLabels": labels}
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert policy["spec"]["ingress"] == [
        {"from": [{"podSelector": {"matchLabels": labels}}], "ports": [{"protocol": "TCP", "port": port}]}
    ]


def test_pods_are_replaced_unless_the_reason_stays():
    spec = manifest("Job")["spec"]
    fail, ignore = spec["podFailurePolicy"]["rules"]
    assert fail == {
        "action": "FailJob",
        "onExitCodes": {"containerName": container()["name"], "operator": "In", "values": STAYS},
    }
    assert errors.WorkerLost.exit_status not in STAYS
    assert ignore == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    # A pod failure policy requires this value.
    assert pod()["spec"]["restartPolicy"] == "Never"
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["backoffLimit"] >= 10 * spec["completions"]
    # Kubernetes delays the replacement of a failed pod by at most ten minutes.
    assert float(flags_of(container()["args"])["worker_timeout"]) > 600
    assert pod()["spec"]["terminationGracePeriodSeconds"] >= 120


@pytest.mark.parametrize("file", ["data.yaml", "train.yaml"])
def test_pods_are_confined_and_write_to_volumes_only(file):
    spec, only = pod(file)["spec"], container(file)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert only["resources"]["requests"].keys() == {"cpu", "memory"}
    mounts = {mount["mountPath"]: mount for mount in only["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == {volume["name"] for volume in spec["volumes"]}
    assert "/tmp" in mounts
    flags = flags_of(only["args"])
    for name in ("data_dir", "cache_dir"):
        assert "/" + flags[name].split("/")[1] == "/data"
    assert mounts["/data"].get("readOnly", False) == (file == "train.yaml")
    claims = {v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v}
    made = {d["metadata"]["name"]: d for d in sum(MANIFESTS.values(), []) if d["kind"] == "PersistentVolumeClaim"}
    assert claims <= made.keys()
    assert all(claim["spec"]["accessModes"] == ["ReadWriteMany"] for claim in made.values())
    if file == "train.yaml":
        assert flags["run_dir"].startswith("/runs/")
        assert "readOnly" not in mounts["/runs"]


def test_the_data_are_prepared_for_the_workers():
    prepared, trained = flags_of(container("data.yaml")["args"]), flags_of(container()["args"])
    assert "dry_run" in prepared
    assert {n: v for n, v in prepared.items() if n != "dry_run"}.items() <= trained.items()
    assert container("data.yaml")["image"] == container()["image"]


def test_the_image_holds_what_training_needs():
    text = (KUBERNETES / "Dockerfile").read_text().replace("\\\n", " ")
    instructions = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    known = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "USER", "ENV", "ENTRYPOINT"}
    assert {word for word, _ in instructions} == known
    copied = [shlex.split(rest)[:-1] for word, rest in instructions if word == "COPY" and "--from" not in rest]
    sources = {source for words in copied for source in words}
    assert all((ROOT / source).exists() for source in sources)
    installed = {"setup.py", "pyproject.toml", "requirements.lock", "README.md", "gan_zoo", "models", "export"}
    assert sources == {*installed, "LICENSE", "train.py"}
    values = dict(instructions)
    assert "--constraint requirements.lock" in text
    assert json.loads(values["ENTRYPOINT"]) == ["tini", "--", "/opt/gan_zoo/bin/python", "train.py"]
    assert int(values["USER"]) == pod()["spec"]["securityContext"]["runAsUser"]


# The page.


def test_flags_on_the_page_exist():
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    commands = [shlex.split(line) for line in blocks.splitlines() if "train.py" in line or "sbatch" in line]
    assert len(commands) == 4
    assert set().union(*map(flags_of, commands)) >= {"strategy", "workers", "worker_index", "tpu", "dry_run"}
    for name in re.findall(r"`--(\w+)`", PAGE):
        assert name in FLAGS | {"requeue"}


def test_the_exit_statuses_on_the_page_are_those_of_the_code():
    rows = {int(status): meaning for status, meaning in re.findall(r"^\| (\d+) \| ([^|]+) \|", PAGE, re.MULTILINE)}
    assert list(rows) == [
        0,
        *STAYS,
        errors.WorkerLost.exit_status,
        errors.Interrupted("", signal.SIGINT).exit_status,
        errors.Interrupted("", signal.SIGTERM).exit_status,
    ]
    assert "bad input" in rows[errors.UserError.exit_status]
    assert "another worker was lost" in rows[errors.WorkerLost.exit_status]
    assert errors.NotWritten.exit_status == errors.NonFiniteLoss.exit_status == STAYS[0]


def test_the_files_that_the_page_names_exist():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert len(links) == 4
    assert all((ROOT / "docs" / link).exists() for link in links)
