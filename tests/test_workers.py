"""Several workers: how they meet, that they take the same steps as one, and what happens when one is lost."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import layers
from gan_zoo.models import DCGAN, ConsensusGAN, RaGAN
from gan_zoo.replicas import workers
from gan_zoo.util.errors import UserError, WorkerLost

from .thorough import thoroughly
from .waiting import HANGING, wait_until
from .weights import arrays, assert_same, checkpoint

ROOT = Path(__file__).resolve().parent.parent
SEED = int(os.environ.get("GAN_ZOO_FAULTS", "0"))
"""`GAN_ZOO_FAULTS=N` may kill another worker."""


def addresses(count):
    """Returns addresses of this machine with free ports, below those that the system assigns to other programs."""
    found, candidates = [], random.SystemRandom().sample(range(12000, 32000), 200)
    while len(found) < count:
        port = candidates.pop()
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(f"127.0.0.1:{port}")
    return found


def clusters(count):
    names = ",".join(addresses(count))
    return [workers.of_flags(names, index) for index in range(count)]


def met(members, agreed, timeout=HANGING):
    """Returns the result of `meet` for several workers: None or the exception."""
    results = {}

    def run(cluster, settings):
        try:
            results[cluster.index] = workers.meet(cluster, settings, timeout)
        except (UserError, WorkerLost) as error:
            results[cluster.index] = error

    threads = [threading.Thread(target=run, args=pair) for pair in zip(members, agreed, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGING)
    return results


def test_all_workers_meet():
    members = clusters(3)
    assert met(members, [{"seed": 1}] * 3) == {0: None, 1: None, 2: None}
    assert met(members, [{"seed": 1}] * 3) == {0: None, 1: None, 2: None}  # the ports are free again


def test_a_worker_that_does_not_come_is_named():
    members = clusters(3)
    found = met(members[:2], [{}] * 2, timeout=5)
    assert all(isinstance(error, WorkerLost) for error in found.values())
    assert f"waited 5 seconds for worker 2 ({members[0].addresses[2]})" in str(found[0])
    assert f"for worker 0 ({members[0].addresses[0]})" in str(found[1])
    found = met(members[:1], [{}], timeout=0.5)
    assert f"for workers 1 ({members[0].addresses[1]}), 2 (" in str(found[0])


def test_workers_of_other_settings_are_refused():
    found = met(clusters(2), [{"--seed": 1, "--steps": 5, "--model": "a"}, {"--seed": 2, "--steps": 5, "--model": "b"}])
    sentence = "worker 1 was started with other settings than worker 0: --model, --seed must be the same."
    assert [(type(error), str(error)) for _, error in sorted(found.items())] == [(UserError, sentence)] * 2


def test_other_visitors_do_not_count():
    members = clusters(3)
    host, port = members[0].addresses[0].split(":")
    greeting = {"gan_zoo worker": list(members[0].addresses), "index": 1}
    results = {}
    chief = threading.Thread(target=lambda: results.update(met(members[:1], [{}])))
    chief.start()
    visits = 0
    for said in (
        *(b"GET / HTTP/1.1\r\n\r\n", b"[1]\n", b'{"gan_zoo worker": [], "index": 1}\n', b""),
        *(json.dumps(greeting).encode() + b"\n", json.dumps({**greeting, "agreed": []}).encode() + b"\n"),
        # A worker that disconnects before the others arrive must connect again.
        json.dumps({**greeting, "agreed": {}}).encode() + b"\n",
    ):
        for _ in range(int(HANGING / 0.05)):
            with contextlib.suppress(ConnectionRefusedError):
                with socket.create_connection((host, int(port))) as visitor:
                    visitor.sendall(said)
                visits += 1
                break
            time.sleep(0.05)
    assert visits == 7
    time.sleep(0.3)
    assert chief.is_alive()
    assert met(members[2:], [{}], timeout=2) != {2: None}  # worker 1 has left, so no worker starts
    results.update(met(members[1:], [{}] * 2))
    chief.join(HANGING)
    assert results == {0: None, 1: None, 2: None}


def test_a_port_that_is_taken():
    members = clusters(2)
    host, port = members[1].addresses[1].split(":")
    with socket.create_server((host, int(port))):
        (error,) = met(members[1:], [{}], timeout=0.5).values()
    assert isinstance(error, UserError)
    assert f"port {port} of this machine cannot be used" in str(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "must be JSON like"),
        ("[]", "must be JSON like"),
        ('{"cluster": {"worker": ["a:1"]}}', "must be JSON like"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "there is no worker 1"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "must be JSON like"),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
            "it has ps",
        ),
        ('{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}', "must be host:port"),
    ],
)
def test_malformed_tf_configs(text, words):
    with pytest.raises(UserError, match=words):
        workers.of_environment(text)


def test_tf_configs():
    config = {"cluster": {"worker": ["b:1", "c:2"], "chief": ["a:3"]}, "task": {"type": "worker", "index": 1}}
    cluster = workers.of_environment(json.dumps(config))
    assert (cluster.addresses, cluster.index, cluster.is_chief) == (("a:3", "b:1", "c:2"), 2, False)
    config["task"] = {"type": "chief", "index": 0}
    assert workers.of_environment(json.dumps(config)).is_chief


def test_losses_are_told_in_one_sentence():
    texts = {
        "Lost worker 1, which": "aborted by: stopped sending heartbeats):\n/job:worker/replica:0/task:1\n"
        "The tasks have crashed. from remote target /job:worker/replica:0/task:2 while",
        "Lost worker 0, which": "from remote target /job:worker/replica:0/task:1 while\n"
        "from remote target /job:worker/replica:0/task:0 while",
        "Lost another worker, which": "Socket closed",
    }
    for sentence, text in texts.items():
        with pytest.raises(WorkerLost, match=sentence) as caught, workers.detect_lost_workers():
            raise tf.errors.UnavailableError(None, None, text)
        assert caught.value.exit_status == 75
    with pytest.raises(tf.errors.InternalError), workers.detect_lost_workers():
        raise tf.errors.InternalError(None, None, "something else")


# Each worker takes five steps of gradient descent with three GANs. Their losses are plain averages, contain batch
# statistics, and use the whole gradients of both players. The first GAN synchronizes batch normalization.
STEPS = """
import sys
import numpy as np
import keras
import tensorflow as tf
from gan_zoo.replicas import workers
index, addresses, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
cluster = workers.of_flags(addresses, index)
workers.meet(cluster, {}, 120)
import os
os.environ["TF_CONFIG"] = cluster.tf_config
strategy = tf.distribute.MultiWorkerMirroredStrategy()
from tests import test_workers as common
talk = workers.Communication(strategy)
assert talk.of_chief(10 + index) == 10 and talk.any(index == 1) and not talk.any(False)
found = {}
for name, (make, x) in common.GANS.items():
    with strategy.scope():
        gan = common.descending(make)
    dataset = tf.data.Dataset.from_tensors(x).repeat()
    gan.fit(dataset, steps_per_epoch=5, verbose=0)
    for k, variable in enumerate(gan.variables):
        found[f"{name} {k}"] = np.asarray(variable.value)
np.savez(out, **found)
"""

_RNG = np.random.default_rng(0)
POINTS = _RNG.normal(size=(12, 2)).astype("float32")
IMAGES = _RNG.uniform(-1, 1, size=(12, 8, 8, 1)).astype("float32")
GANS = {
    "dcgan": (lambda: DCGAN.for_images((8, 8, 1), latent_dim=4, width=4), IMAGES),
    "ragan": (lambda: RaGAN.for_points(width=8), POINTS),
    "consensus_gan": (lambda: ConsensusGAN.for_points(width=8), POINTS),
}


def descending(make):
    keras.utils.set_random_seed(1)
    gan = make()
    layers.synchronize(gan)
    gan.compile(keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.05))
    return gan


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, *thoroughly(3)])
def test_workers_take_the_steps_of_one(tmp_path, count):
    names = ",".join(addresses(count))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    outputs = [tmp_path / f"{index}.npz" for index in range(count)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STEPS, str(index), names, str(out)],
            env=env,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, out in enumerate(outputs)
    ]
    try:
        errors = [process.communicate(timeout=HANGING)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * count, errors
    found = [dict(np.load(out)) for out in outputs]
    for name, (make, x) in GANS.items():
        gan = descending(make)
        for _ in range(5):
            gan.train_step(tf.convert_to_tensor(x))
        for k, variable in enumerate(gan.variables):
            expected = np.asarray(variable.value)
            for worker in found:
                actual = worker[f"{name} {k}"]
                np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5, err_msg=variable.path)


# The command line.

FLAGS = [
    *("--model=lsgan", "--dataset=ring8", "--width=8", "--batch_size=12", "--steps=400"),
    *("--checkpoint_every=20", "--sample_every=200", "--log_every=10", "--health_every=400", "--run_dir=run"),
]


class Job:
    """All workers of one training. Each has its own folder, since only the first may read or write a run."""

    def __init__(self, folder, count, *flags):
        names = ",".join(addresses(count))
        self.folders = [folder / str(index) for index in range(count)]
        self.processes = []
        self._logged = self._log()
        for index, path in enumerate(self.folders):
            path.mkdir(parents=True, exist_ok=True)
            workers_flags = ["--strategy=multi_worker", f"--workers={names}", f"--worker_index={index}"]
            command = [sys.executable, str(ROOT / "train.py"), *FLAGS, *workers_flags, *flags]
            with (folder / f"{index}.out").open("w") as out, (folder / f"{index}.err").open("w") as err:
                self.processes.append(subprocess.Popen(command, cwd=path, stdout=out, stderr=err))
        self.folder = folder

    def wait(self):
        """Returns the exit statuses."""
        end = time.monotonic() + HANGING
        try:
            return [process.wait(max(end - time.monotonic(), 0.1)) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
                process.wait()

    def said(self, index, stream="err"):
        return (self.folder / f"{index}.{stream}").read_text()

    def errors(self):
        """Returns what each worker has written as errors."""
        return [self.said(index) for index in range(len(self.folders))]

    def wait_for_step(self, step):
        """Waits until this job, not an earlier one in the folder, has logged the step or a later one."""

        def reached():
            rows = self._log()
            return rows != self._logged and any(json.loads(row)["step"] >= step for row in rows)

        wait_until(
            reached,
            lambda: all(process.poll() is None for process in self.processes),
            self.errors,
        )

    def _log(self):
        log = self.folders[0] / "run" / "metrics.jsonl"
        return [row for row in log.read_text().splitlines(keepends=True) if row.endswith("\n")] if log.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, *thoroughly(3)])
def test_a_job_that_loses_a_worker_ends_as_one_that_does_not(tmp_path, count):
    whole = Job(tmp_path / "whole", count)
    assert whole.wait() == [0] * count, whole.errors()
    files = sorted(str(p.relative_to(whole.folders[0])) for p in whole.folders[0].rglob("*") if p.is_file())
    assert len([f for f in files if f.startswith("run/samples/")]) == 3
    assert len([f for f in files if "tfevents" in f]) == 1
    assert [list(folder.iterdir()) for folder in whole.folders[1:]] == [[]] * (count - 1)
    rows = [json.loads(line) for line in (whole.folders[0] / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(10, 401, 10))
    assert "modes" in rows[-1]

    lossy = Job(tmp_path / "lossy", count)
    lossy.wait_for_step(50)
    lost = SEED % count
    lossy.processes[lost].send_signal(signal.SIGKILL)
    assert lossy.wait() == [-signal.SIGKILL if k == lost else 75 for k in range(count)], lossy.errors()
    for index in {*range(count)} - {lost}:
        (line,) = [line for line in lossy.said(index).splitlines() if line.startswith("error: ")]
        assert "which has ended or hangs" in line
        assert "Traceback" not in lossy.said(index)

    asked = Job(tmp_path / "lossy", count)  # a signal to one worker ends all workers after the same step
    asked.wait_for_step(100)
    asked.processes[1].send_signal(signal.SIGTERM)
    if count > 2:
        time.sleep(0.05)
        asked.processes[0].send_signal(signal.SIGTERM)  # perhaps while it saves because of the other signal
    assert asked.wait() == [143] * count, asked.errors()
    assert "continuing run from step" in asked.said(0, "out")
    assert "SIGTERM: stopped at step" in asked.said(1, "out")
    assert "saved run at step" in asked.said(0, "out")
    index, words = (2, "stopped") if count > 2 else (0, "saved run")  # a worker that got no signal itself
    assert f"a signal to another worker: {words} at step" in asked.said(index, "out")

    last = Job(tmp_path / "lossy", count)
    assert last.wait() == [0] * count, last.errors()
    assert_same(*(arrays(checkpoint(tmp_path / name / "0" / "run", 400)) for name in ("lossy", "whole")))
