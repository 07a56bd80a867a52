"""The command of `train.py` and of `gan-zoo train`: its flags, and what it does with them."""

import dataclasses

from absl import flags

from gan_zoo import recipes
from gan_zoo.data import DATASETS, MAX_SKIPPED, OTHER
from gan_zoo.networks import CONDITIONS, FAMILIES, G_NORMS, NORMS
from gan_zoo.nn.precision import PRECISIONS
from gan_zoo.training import config, pipeline
from gan_zoo.training.devices import STRATEGIES
from gan_zoo.util import command_line, console

USAGE = """
Trains a GAN: python train.py --model=wgan_gp --dataset=celeb_a

The dataset determines the defaults of resolution, crop and networks, and the variant those of optimizers and weights.
All other flags are optional. The same command on an existing run folder continues that run.
"""

GROUPS = {
    "What": ["model", "dataset", "recipe", "list"],
    "Data": ["data_dir", "split", "held_out", "resolution", "crop", "cache_dir", "max_skipped"],
    "Networks and variant": [
        "network",
        "width",
        "latent_dim",
        "norm",
        "g_norm",
        "kernel_size",
        "minibatch_discrimination",
        "conditional",
        "condition",
        "labelled",
        "set",
    ],
    "Training": [
        *("batch_size", "steps", "n_critic", "balance", "learning_rate", "d_learning_rate", "g_learning_rate"),
        "rate_schedule",
        *("augment", "ema_decay", "ema_half_life", "seed"),
    ],
    "Machine": [
        *(
            "precision",
            "strategy",
            "num_virtual_devices",
            "workers",
            "worker_index",
            "worker_timeout",
            "tpu",
            "sync_batch_norm",
        ),
        *("jit_compile", "steps_per_execution"),
    ],
    "Run folder": [
        "run_dir",
        "sample_every",
        "checkpoint_every",
        "keep_checkpoints",
        "log_every",
        "health_every",
        "on_nan",
        "dry_run",
    ],
    "Evaluation": ["evaluate_every", "evaluate_metrics", "evaluate_num", "evaluate_features", "export"],
}


def define_flags() -> None:
    """Defines the flags; not at import, because other tools have flags of the same names."""
    flags.DEFINE_string("model", None, "A variant of the zoo (see --list), or my_module:MyGAN.")
    flags.DEFINE_string("dataset", None, "A dataset (see --list), any image dataset of TFDS, or folder:PATH.")
    flags.DEFINE_string(
        "recipe", None, "All flags of a recipe (see --list) or of a file PATH.toml; other flags override."
    )
    flags.DEFINE_bool("list", False, "Print every model, dataset and recipe, and exit.")

    flags.DEFINE_string("data_dir", None, "Folder of TFDS's datasets; by default ~/tensorflow_datasets.")
    flags.DEFINE_string("split", "train", "The split to train on, such as train, or train[:7000].")
    flags.DEFINE_string(
        "held_out",
        None,
        "A split that is not trained on, such as test, or train[7000:]: health checks then measure how far the "
        "discriminator overfits.",
    )
    flags.DEFINE_integer("resolution", None, "Side of the training images in pixels.")
    flags.DEFINE_integer("crop", None, "Side of the centred square that is cut out before resizing, in pixels.")
    flags.DEFINE_string("cache_dir", None, "Folder for decoded images; by default ~/.cache/gan_zoo/data.")
    flags.DEFINE_integer(
        "max_skipped",
        MAX_SKIPPED,
        "Images that may be left out because they cannot be decoded; one more ends the run.",
    )

    flags.DEFINE_enum("network", None, list(FAMILIES), "Family of networks.")
    flags.DEFINE_integer("width", None, "Channels near the images' resolution, or units in the layers of an mlp.")
    flags.DEFINE_integer("latent_dim", None, "Size of the latent vector.")
    flags.DEFINE_enum("norm", None, list(NORMS), "The discriminator's normalization.")
    flags.DEFINE_bool("conditional", False, "Train with the labels of the dataset, to sample chosen classes later.")
    flags.DEFINE_enum(
        "condition",
        None,
        list(CONDITIONS),
        "How networks use labels; by default projection in D, or concat for autoencoders, or the variant's own.",
    )
    flags.DEFINE_bool("minibatch_discrimination", False, "D compares each example with the rest of its minibatch.")
    flags.DEFINE_enum("g_norm", None, list(G_NORMS), "The generator's normalization; by default that of its family.")
    flags.DEFINE_integer("kernel_size", None, "Side of the kernels of dcgan networks: 4 is faster than the default, 5.")
    flags.DEFINE_integer(
        "labelled",
        None,
        "Examples whose labels the model learns from, for models such as semi_supervised_gan.",
    )
    flags.DEFINE_multi_string("set", [], "name=value: any argument of the variant's class. May be repeated.")

    flags.DEFINE_integer("batch_size", None, "Examples in a minibatch, over all replicas.")
    flags.DEFINE_integer("steps", None, "Generator updates.")
    flags.DEFINE_integer("n_critic", None, "Discriminator updates for each generator update.")
    flags.DEFINE_string(
        "balance",
        None,
        "When G trains: constant, warm_up or until(d_loss=1.0); see gan_zoo.schedules.balance.",
    )
    flags.DEFINE_string(
        "augment",
        None,
        "Augmentation of all images that the discriminator sees, for small data: "
        "diffaugment(color, translation, cutout), ada or ada(p=0.2); see gan_zoo.nn.augment.",
    )
    flags.DEFINE_float("learning_rate", None, "Learning rate of both players; by default that of the variant.")
    flags.DEFINE_float("d_learning_rate", None, "Learning rate of the discriminator.")
    flags.DEFINE_float("g_learning_rate", None, "That of the generator. Other players have --NAME_learning_rate.")
    flags.DEFINE_string(
        "rate_schedule",
        None,
        "How all learning rates change over the run: cosine, linear or constant, with settings such as "
        "cosine(final=0.1, warm_up=500), the last share of the rate and the steps of a warm-up.",
    )
    command_line.define_matching(r"[a-z_][a-z_0-9]*_learning_rate", "Learning rate of a player of that name.")
    flags.DEFINE_float(
        "ema_decay", None, "Decay of the generator's moving average, which samples and exports use; by default 0.999."
    )
    flags.DEFINE_float(
        "ema_half_life",
        None,
        "Half-life of that average in images, a minibatch for each step, in place of --ema_decay.",
    )
    flags.DEFINE_integer("seed", 0, "Seed of the initial weights, the order of the data and the latents.")

    flags.DEFINE_enum("precision", "auto", list(PRECISIONS), "Arithmetic; auto uses bfloat16 if that is faster.")
    flags.DEFINE_enum("strategy", "auto", list(STRATEGIES), "How to use several devices.")
    flags.DEFINE_integer(
        "num_virtual_devices", None, "With --strategy=mirrored: the number of replicas on one CPU, for trials."
    )
    flags.DEFINE_string("workers", None, "With --strategy=multi_worker: host:port of each worker, separated by commas.")
    flags.DEFINE_integer("worker_index", None, "This worker's place in --workers, from 0; worker 0 writes all files.")
    flags.DEFINE_float("worker_timeout", 600.0, "Seconds that workers wait for each other at the start.")
    flags.DEFINE_string("tpu", None, "With --strategy=tpu: the TPU's name or address.")
    flags.DEFINE_bool("sync_batch_norm", False, "Batch normalization over all replicas instead of each replica's own.")
    flags.DEFINE_bool("jit_compile", False, "Compile the training step with XLA.")
    flags.DEFINE_integer(
        "steps_per_execution",
        None,
        "Steps in one call of the graph. Default: 1 for images; for points up to 25 that divide all intervals.",
    )

    flags.DEFINE_string("run_dir", None, "Folder of the run; by default runs/MODEL-DATASET.")
    flags.DEFINE_integer("sample_every", 500, "Steps between pictures of samples.")
    flags.DEFINE_integer("checkpoint_every", 1000, "Steps between checkpoints.")
    flags.DEFINE_integer("keep_checkpoints", 2, "Number of newest checkpoints to keep.")
    flags.DEFINE_integer("log_every", 50, "Steps between lines of metrics.")
    flags.DEFINE_enum(
        "on_nan",
        "stop",
        list(config.ON_NAN),
        "When a loss is not finite: stop, or restore the last checkpoint and continue with half the learning rates.",
    )
    flags.DEFINE_integer(
        "health_every",
        500,
        "Steps between health checks, see gan_zoo.callbacks.health; 0 for none.",
    )
    flags.DEFINE_integer(
        "evaluate_every",
        0,
        "Steps between evaluations of samples, which also keep the best checkpoint; 0 for none.",
    )
    flags.DEFINE_list(
        "evaluate_metrics",
        [],
        "Metrics of gan_zoo.evaluate; the first one chooses the best checkpoint. By default frechet and kid.",
    )
    flags.DEFINE_integer("evaluate_num", None, "Number of samples of an evaluation; by default 5000.")
    flags.DEFINE_string("evaluate_features", None, "Network for features, as --features of gan_zoo.evaluate.")
    flags.DEFINE_enum(
        "export", "last", list(config.EXPORTS), "The exported step: the last, or that of the best checkpoint."
    )
    flags.DEFINE_bool("dry_run", False, "Build everything, run a few steps, estimate time and memory, write nothing.")


def list_all() -> str:
    """Returns the text of --list: one line for each model, with its paper, and for each dataset."""
    from gan_zoo.models import PAPERS

    datasets = [(name, dataset.description) for name, dataset in DATASETS.items()]
    parts = {
        "Models": list(PAPERS.items()),
        "Datasets": [*datasets, ("...", OTHER.description)],
        "Recipes": [(name, recipes.load(name).line()) for name in recipes.names()],
    }
    longest = max(len(name) for rows in parts.values() for name, _ in rows)
    blocks = (f"{title}:\n{command_line.described(rows, longest=longest)}" for title, rows in parts.items())
    return "\n\n".join(blocks)


def main() -> int:
    values = flags.FLAGS
    if values.list:
        return console.finish(list_all())
    if values.recipe is not None:
        recipe = recipes.load(values.recipe)
        recipes.fill(recipe, values)
        console.say(recipe.about())
    for name in ("model", "dataset"):
        if not values[name].value:
            raise command_line.UserError(f"--{name} is missing: --list shows all names.")
    fields = [f.name for f in dataclasses.fields(config.Config) if f.name in values]
    rates = {
        name.removesuffix("_learning_rate"): values[name].value
        for name in values
        if name.endswith("_learning_rate") and name not in fields
    }
    asked = config.Config(**{name: values[name].value for name in fields}, learning_rates=rates)
    if values.dry_run:
        return console.finish(pipeline.dry_run(asked))
    pipeline.run(asked)
    return 0


def run() -> None:
    """Parses the command line and trains; does not return."""
    define_flags()
    command_line.main(main, USAGE, GROUPS)
