"""The rows of the benchmarks' tables: what is trained."""

import dataclasses


@dataclasses.dataclass
class Row:
    """A line of a benchmark's table: the configuration that is trained."""

    name: str
    model: str
    shape: tuple[int, ...]
    batch: int
    width: int
    latent_dim: int = 128
    network: str = "dcgan"
    n_critic: int = 1
    steps_per_execution: int = 1


ROWS = [
    Row("dcgan-64", "dcgan", (64, 64, 3), batch=64, width=64),
    Row("wgan_gp-64", "wgan_gp", (64, 64, 3), batch=64, width=64, n_critic=5),
    Row("wgan_gp-resnet-32", "wgan_gp", (32, 32, 3), batch=64, width=128, network="resnet", n_critic=5),
    Row("dcgan-ring8", "dcgan", (2,), batch=512, width=128, latent_dim=2, network="mlp", steps_per_execution=50),
    Row("progressive_gan-32", "progressive_gan", (32, 32, 3), batch=16, width=64, latent_dim=512, network="growing"),
    Row("unrolled_gan-ring8", "unrolled_gan", (2,), 512, 128, latent_dim=256, network="mlp", steps_per_execution=50),
]


PRECISIONS = ("float32", "mixed_bfloat16")
