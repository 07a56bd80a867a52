"""The benchmarks: their counts and ratios, the protocol of a worker, and the page, which must match the results."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo.models import DCGAN, WGANGP
from gan_zoo.registry.variants import find_model

HOME = Path(__file__).parent.parent
DOCS = HOME / "docs"


def test_flops_of_a_step_are_those_on_paper(benchmarks):
    """Compares FLOPs of a perceptron's products with a count by hand.

    A product takes 2 B in out. In D's turn a layer has 2 forward and 2 x 2 - 1 backward products; G's turn is similar.
    """
    limits = benchmarks("limits")
    gan = DCGAN.for_points(width=8, depth=1, latent_dim=3, seed=0)
    gan.compile()
    counted = limits.products(gan, tf.zeros([16, 2]))
    g, d = [3 * 8, 8 * 2], [2 * 8, 8 * 1]  # multiplications per example and layer
    forward_g, forward_d = sum(g), sum(d)
    d_turn = forward_g + 2 * (forward_d + forward_d + d[1])  # gradients of all kernels; of all inputs but the first
    g_turn = forward_g + forward_d + sum(d) + sum(g) + g[1]  # gradients of D's inputs; of G's kernels and one input
    assert sum(limits.flops(key) * count for key, count in counted.items()) == 2 * 16 * (d_turn + g_turn)


def test_flops_do_not_depend_on_the_algorithm(benchmarks, monkeypatch):
    limits = benchmarks("limits")
    gan = WGANGP.for_images((8, 8, 3), width=4, latent_dim=4, n_critic=1, seed=0)
    gan.compile()
    batch = tf.zeros([4, 8, 8, 3])
    first = limits.products(gan, batch)
    monkeypatch.setattr(limits.convolution, "_MANY_WEIGHTS_GRADIENT", {tf.float32: 0})
    assert limits.products(gan, batch) == first
    (kernel,) = {key[2] for key in first if key[0] == "Conv2D" and key[1] == (4, 8, 8, 3)}
    assert kernel == (5, 5, 3, 4)
    assert limits.flops(("Conv2D", (4, 8, 8, 3), kernel, (4, 4, 4, 4), 2, ())) == 2 * 4 * 16 * 75 * 4
    assert all(limits.seconds_alone(key, tf.float32) > 0 for key in first)


def test_errors_of_categories(benchmarks):
    classes = benchmarks("classes")

    class Model:
        categories = 12

        def classify(self, images):
            return tf.constant(images)

    labels = np.arange(10).repeat(2)
    found = (labels + 2) % 12  # category k + 2 is digit k
    found[0] = 5
    assert classes.error(Model(), found, labels, matched=True) == pytest.approx(1 / 20)
    assert classes.error(Model(), found, labels, matched=False) == 1.0


def test_the_page_of_classes_is_that_of_its_results(benchmarks):
    found = json.loads((DOCS / "classes.json").read_text("utf-8"))
    assert benchmarks("classes").table(found) in (DOCS / "classes.md").read_text("utf-8")


def test_ratios_are_of_rounds(benchmarks):
    throughput = benchmarks("throughput")
    found = throughput.ratio([2.0, 30.0, 4.0], [1.0, 10.0, 4.0])  # a slow round affects both
    assert found["ratio"] == 2.0
    assert found["low"] <= 2.0 <= found["high"]


def test_a_worker_trains_through_the_public_interface(benchmarks):
    throughput, worker = benchmarks("throughput"), benchmarks("worker")
    row = worker.Row("tiny", "dcgan", (2,), batch=8, width=4, latent_dim=2, network="mlp", steps_per_execution=2)
    process = throughput.Worker(row, "zoo", "float32")
    try:
        seconds = throughput.race({"zoo": process}, rounds=2, round_seconds=0.01)
        assert len(seconds["zoo"]) == 2
        assert min(seconds["zoo"]) > 0
        assert process.peak_bytes > 2**20
    finally:
        process.close()


def test_a_worker_that_fails_says_why(benchmarks):
    throughput, worker = benchmarks("throughput"), benchmarks("worker")
    row = worker.Row("tiny", "dcgan", (2,), batch=8, width=4, network="mlp")
    with pytest.raises(RuntimeError, match="no_such_engine"):
        throughput.Worker(row, "no_such_engine", "float32")


def test_results_of_the_same_row_are_replaced(benchmarks, tmp_path):
    throughput = benchmarks("throughput")
    path = tmp_path / "found.json"
    for value in (1, 2):
        throughput.record(path, "limits", {"row": "a", "precision": "float32", "value": value})
    throughput.record(path, "limits", {"row": "a", "precision": "mixed_bfloat16", "value": 3})
    found = json.loads(path.read_text())
    assert [entry["value"] for entry in found["limits"]] == [2, 3]
    assert found["machine"]["keras"] == keras.__version__


def test_the_page_is_made_of_the_numbers(benchmarks):
    results = json.loads((DOCS / "performance.json").read_text())
    assert (DOCS / "performance.md").read_text() == benchmarks("report").markdown(results)


def test_pytorchs_networks_are_the_zoos(benchmarks):
    """If PyTorch is installed, each of its networks has as many weights as the zoo's, and the same output shapes."""
    torch = pytest.importorskip("torch")
    torch_gans, throughput = benchmarks("torch_gans"), benchmarks("throughput")
    for row in (row for row in throughput.ROWS if row.model in throughput.IN_TORCH):
        cls = find_model(row.model)
        if len(row.shape) == 1:
            gan = cls.for_points(row.shape[0], width=row.width, latent_dim=row.latent_dim)
        else:
            gan = cls.for_images(row.shape, network=row.network, width=row.width, latent_dim=row.latent_dim)
        G, D = torch_gans.networks(row)
        for ours, theirs in ((gan.generator, G), (gan.discriminator, D)):
            count = sum(variable.value.shape.num_elements() for variable in ours.trainable_variables)
            assert count == sum(parameter.numel() for parameter in theirs.parameters()), (row.name, ours.name)
        with torch.no_grad():
            images = G(torch.zeros(2, row.latent_dim))
            assert D(images).shape == (2, 1)
        assert tuple(images.shape) == ((2, *row.shape) if len(row.shape) == 1 else (2, row.shape[-1], *row.shape[:2]))
        assert row.n_critic == gan.n_critic


def test_the_zoo_on_images(benchmarks, tmp_path):
    zoo = benchmarks("zoo")
    rows = [
        {
            **{
                "table": "digits",
                "recipe": "own",
                "variant": variant,
                "seed": 0,
                "images_per_second": 10.0,
                "cpu": "c",
            },
            **{"metrics": dict.fromkeys(zoo.METRICS, value), "real": dict.fromkeys(zoo.METRICS, 0.5), "protocol": "p"},
        }
        for variant, value in (("dcgan", 2.0), ("wgan_gp", 1.0))
    ]
    (tmp_path / "zoo.json").write_text(json.dumps(rows))
    zoo.write_page(tmp_path)
    page = (tmp_path / "zoo.md").read_text()
    assert page.index("| `wgan_gp` | 1.00 |") < page.index("| `dcgan` | 2.00 |") < page.index("| real images | 0.50 |")
    missing = list(zoo.missing(zoo.TABLES["digits"], "digits", rows, None))
    assert missing == [("common", "wgan_gp", 0)]  # the own recipe of DCGAN is the common one
    rows.append({**rows[1], "recipe": "common"})
    (tmp_path / "zoo.json").write_text(json.dumps(rows))
    zoo.write_page(tmp_path)
    common = (tmp_path / "zoo.md").read_text().partition("## digits, common recipe")[2]
    assert common.index("| `wgan_gp` | 1.00 |") < common.index("| `dcgan` | 2.00 |")
    assert "(zoo/digits/own/dcgan.png)" in common and "(zoo/digits/common/wgan_gp.png)" in common
    assert "of 2 runs" not in common
    assert (zoo.turns("wgan_gp", "own"), zoo.turns("wgan_gp", "common"), zoo.turns("dcgan", "own")) == (5, 1, 1)
    rows[0]["protocol"] = "q"
    (tmp_path / "zoo.json").write_text(json.dumps(rows))
    with pytest.raises(SystemExit, match="different protocols"):
        zoo.write_page(tmp_path)
