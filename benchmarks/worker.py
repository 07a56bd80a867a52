"""A process that runs one configuration of a benchmark and trains a round of steps on each request.

`throughput.py`, `levers.py` and `scaling.py` start it. They keep several workers alive and let one run at a time, so
that changes of the machine's speed affect all of them. It reads JSON lines, {"steps": n}, and answers {"seconds": s}.
"""

import itertools
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TextIO

import numpy as np
from rows import Row


def image_folder(side: int, count: int = 2000) -> Path:
    """Returns a folder of JPEG files with smooth random colours, created once in the system's temporary folder."""
    from PIL import Image

    folder = Path(tempfile.gettempdir()) / f"gan_zoo-benchmark-{side}-{count}"
    if not folder.exists():
        rng = np.random.default_rng(0)
        part = Path(tempfile.mkdtemp())
        for i in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            coarse.resize((side, side), Image.Resampling.BICUBIC).save(part / f"{i:05}.jpg", quality=95)
        part.rename(folder)
    return folder


class Zoo:
    """The zoo through its public interface: `compile`, `fit`, a dataset of `gan_zoo.data`."""

    def __init__(self, row: Row, precision: str, without: list[str]):
        import keras

        from gan_zoo import data
        from gan_zoo.registry.variants import find_model

        if without:
            import levers

            levers.undo(without)
        keras.config.set_dtype_policy(precision)
        keras.utils.set_random_seed(0)
        cls = find_model(row.model)
        arguments = {"latent_dim": row.latent_dim, "n_critic": row.n_critic, "seed": 0}
        arguments = {name: value for name, value in arguments.items() if name in cls.parameters()}
        if len(row.shape) == 1:
            self.gan = cls.for_points(row.shape[0], width=row.width, **arguments)
            source = data.open_source("ring8")
        else:
            self.gan = cls.for_images(row.shape, network=row.network, width=row.width, **arguments)
            source = data.open_source(f"folder:{image_folder(row.shape[0])}", resolution=row.shape[0])
        execution = 1 if "steps_per_execution" in without else row.steps_per_execution
        self.gan.compile(steps_per_execution=execution, jit_compile="xla" in without)
        self.dataset = source.batches(row.batch, n_critic=self.gan.minibatches_per_step, seed=0)

    def run(self, steps: int) -> None:
        self.gan.fit(self.dataset, steps_per_epoch=steps, verbose=0)


class NaiveKeras:
    """The same network in Keras with default settings."""

    def __init__(self, row: Row, precision: str, without: list[str]):
        import keras
        import keras_gans

        from gan_zoo import data

        keras.config.set_dtype_policy(precision)
        self.gan = keras_gans.KerasDCGAN(row)
        self.gan.compile()
        source = data.open_source(f"folder:{image_folder(row.shape[0])}", resolution=row.shape[0])
        self.dataset = source.batches(row.batch, seed=0)

    def run(self, steps: int) -> None:
        self.gan.fit(self.dataset, steps_per_epoch=steps, verbose=0, shuffle=False)


class Torch:
    """The same networks, losses and optimizers in PyTorch."""

    compiled = False

    def __init__(self, row: Row, precision: str, without: list[str]):
        import torch
        import torch_gans

        torch.set_num_threads(os.cpu_count())
        self.trainer = torch_gans.Trainer(row, precision, self.compiled)

    def run(self, steps: int) -> None:
        self.trainer.run(steps)


class CompiledTorch(Torch):
    compiled = True


ENGINES = {"zoo": Zoo, "keras": NaiveKeras, "torch": Torch, "torch.compile": CompiledTorch}


def task() -> tuple[dict, Row, TextIO]:
    """Returns this process's task, its row, and the stream for answers, which output of libraries must not reach."""
    found = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return found, Row(**{**found["row"], "shape": tuple(found["row"]["shape"])}), answers


def main() -> None:
    asked, row, answers = task()
    engine = ENGINES[asked["engine"]](row, asked["precision"], asked["without"])
    for line in itertools.chain([""], sys.stdin):
        answer = {"ready": True}
        if line:
            steps, start = json.loads(line)["steps"], time.perf_counter()
            engine.run(steps)
            answer = {"seconds": (time.perf_counter() - start) / steps}
            answer["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
