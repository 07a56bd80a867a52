"""SIGKILL at random times: the same command can always continue from the files that a killed run leaves.

`GAN_ZOO_KILLS=SEED:COUNT` selects other times and another number of them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .weights import arrays, assert_same, checkpoint

ROOT = Path(__file__).resolve().parent.parent
SEED, KILLS = (int(part) for part in os.environ.get("GAN_ZOO_KILLS", "0:10").split(":"))
STEPS = 30 * KILLS

# Forks processes that have imported TensorFlow but not used it yet, since the import takes most of their start. Then
# kills them: some at any time in their first seconds, most just after they began to save, so that many are killed
# while they write. The last process may run to the end.
KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path
import tensorflow, keras
from gan_zoo import callbacks
from gan_zoo.export import saved_model
from gan_zoo.run_folder import checkpoints, loss_curves
from gan_zoo.training import pipeline

folder, kills, seed, settings = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
random.seed(seed)

def life():
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.chdir(folder)
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1), os.dup2(log, 2)
        pipeline.run(pipeline.Config(**settings))
        status = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

def seen():
    return {p.name for p in (folder / "run" / "checkpoints").glob("*")}

def alive(child):
    return os.waitpid(child, os.WNOHANG) == (0, 0)

moments = []
while len(moments) < kills:
    before = seen()
    child = life()
    if random.random() < 0.2:
        end = time.monotonic() + random.uniform(0, 4)
        while alive(child) and seen() == before and time.monotonic() < end:
            time.sleep(0.002)
        moment = "start"
    else:
        last = before
        for _ in range(random.randrange(1, 6)):  # a save begins or is complete, or an old checkpoint goes
            while alive(child) and seen() == last:
                time.sleep(0.0005)
            last = seen()
        moment = "writing" if any(name.startswith(".writing") for name in seen() - before) else "running"
    if not alive(child):
        sys.exit("ended by itself after %d kills" % len(moments))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    moments.append([moment, max([int(name) for name in seen() if name.isdigit()], default=0)])
_, status = os.waitpid(life(), 0)
print(json.dumps(moments))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def trained(folder, kills):
    """Trains in `folder`, and returns the steps at which the kills happened."""
    folder.mkdir()
    settings = {
        **dict(model="lsgan", dataset="ring8", width=8, batch_size=8, steps=STEPS, run_dir="run"),
        **dict(checkpoint_every=3 if kills else STEPS, keep_checkpoints=3, steps_per_execution=3),
        **dict(log_every=3, sample_every=60, health_every=30),
    }
    result = subprocess.run(
        [sys.executable, "-c", KILLER, str(folder), str(kills), str(SEED), json.dumps(settings)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600 + 30 * kills,
    )
    assert result.returncode == 0, (result.stderr[-2000:], (folder / "log").read_text()[-2000:])
    return json.loads(result.stdout.splitlines()[-1])


def rows(folder):
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(tmp_path):
    trained(tmp_path / "whole", 0)
    moments = trained(tmp_path / "killed", KILLS)
    assert len(moments) == KILLS
    reached = [step for _, step in moments]
    assert reached == sorted(reached)  # saved progress is never lost
    assert KILLS < 30 or {"start", "running", "writing"} == {moment for moment, _ in moments}
    assert len(set(reached)) > KILLS / 3  # most processes saved something before they were killed
    assert_same(*(arrays(checkpoint(tmp_path / name / "run", STEPS)) for name in ("killed", "whole")))
    assert [row["step"] for row in rows(tmp_path / "killed")] == list(range(3, STEPS + 1, 3))
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    kept = sorted(path.name for path in (tmp_path / "killed" / "run" / "checkpoints").iterdir())
    assert kept == [f"{step:08d}" for step in (STEPS - 6, STEPS - 3, STEPS)]
    whole, killed = (
        {
            str(path.relative_to(tmp_path / name)): path
            for path in (tmp_path / name / "run").rglob("*")
            if path.parts[len((tmp_path / name / "run").parts)] not in ("events", "checkpoints")
        }
        for name in ("whole", "killed")
    )
    assert whole.keys() == killed.keys()  # no incomplete files remain
    for name, path in whole.items():
        if path.suffix == ".png" and "samples" in name:
            assert path.read_bytes() == killed[name].read_bytes(), name
    run = json.loads((tmp_path / "killed" / "run" / "run.json").read_text())
    assert 1 <= len(run["continued"]) <= KILLS
