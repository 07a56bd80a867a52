"""The stops of docs/tour.md: texts and commands."""

import dataclasses

INTRODUCTION = """# A tour of the zoo

The history of GANs is a list of problems and remedies. This tour takes them in the order in which lectures on the
subject do: architectures and tasks first, then training, then the assessment. Each stop has one problem, one remedy,
one command, and what the command made. The commands are small: 10 000 images of clothes that are part of the package,
or a ring of eight Gaussians, so that each takes a minute or a few on a laptop. They show what a method does, not how
good it can become.

`python benchmarks/tour.py` runs all commands and makes this page; [tour.json](tour.json) has their results. The page
has the stops that were run so far. The seconds were measured beside other work.
"""


@dataclasses.dataclass(frozen=True)
class Stop:
    """A stop of the tour.

    Attributes:
        name: Name for `--stops` and of the picture.
        title: Heading.
        problem: What did not work, one or two sentences.
        remedy: What the method does about it, with the name of the variant.
        commands: Shell commands, run in the folder of the clone.
        picture: Pattern of the file to show, of which the last is taken; None for no picture.
        see: More about it: a sentence with links.
    """

    name: str
    title: str
    problem: str
    remedy: str
    commands: tuple[str, ...]
    picture: str | None = None
    see: str = ""


_CLOTHES = "--dataset=fashion10k --width=24 --kernel_size=4 --batch_size=32"
_FAST = "--learning_rate=1e-3"
_RING = "--dataset=ring8"


def _train(name: str, flags: str, data: str = _CLOTHES, steps: int = 1500) -> str:
    """A command that trains in runs/tour/NAME."""
    return f"python train.py {flags} {data} --steps={steps} --run_dir=runs/tour/{name}"


def _samples(name: str) -> str:
    return f"runs/tour/{name}/samples/step-*.png"


STOPS = (
    Stop(
        "game",
        "The game",
        "A network that makes images needs a loss, and nobody can write down what makes an image look real.",
        "A second network learns it. D separates data from samples, and G makes samples that D takes for data "
        "(Goodfellow et al., 2014): `vanilla_gan`.",
        (_train("game", f"--model=vanilla_gan {_FAST}"),),
        _samples("game"),
        "[vanilla_gan.py](../models/vanilla_gan.py) has both losses, minimax and non-saturating.",
    ),
    Stop(
        "conditional",
        "Choose what is drawn: conditional GAN",
        "The game draws whatever it likes. A user wants a seven.",
        "Both players see the label: G must draw the class, and D knows which class it should be (Mirza and Osindero, "
        "2014): `conditional_gan`, with labels at every layer. With `--conditional`, most other variants take "
        "labels too.",
        (_train("conditional", f"--model=conditional_gan --conditional {_FAST}"),),
        _samples("conditional"),
        "Each row is a class. [labels.md](labels.md) measures it.",
    ),
    Stop(
        "lapgan",
        "From coarse to fine: LAPGAN",
        "Large images are hard to draw in one go.",
        "A pyramid: one small GAN draws a coarse image, and at each level a conditional GAN adds the detail (Denton et "
        "al., 2015): `lapgan`.",
        (_train("lapgan", f"--model=lapgan {_FAST}", "--dataset=fashion10k --width=24 --batch_size=32"),),
        _samples("lapgan"),
        "[lapgan-cifar10.png](lapgan-cifar10.png) has samples of a longer run, level by level, on CIFAR-10.",
    ),
    Stop(
        "dcgan",
        "Convolutions that train: DCGAN",
        "GANs of convolutions did not train.",
        "Strided convolutions, batch normalization, no hidden dense layers, Adam with a small momentum (Radford et "
        "al., 2016): `dcgan`.",
        (_train("dcgan", f"--model=dcgan {_FAST}"),),
        _samples("dcgan"),
    ),
    Stop(
        "cat_gan",
        "D as a clustering: CatGAN",
        "D learns what real images look like, but its one output cannot say into which groups they fall.",
        "D returns a distribution over K classes: certain and balanced for data, uncertain for samples (Springenberg, "
        "2016): `cat_gan`.",
        (_train("cat_gan", f"--model=cat_gan --set categories=10 {_FAST}"),),
        _samples("cat_gan"),
    ),
    Stop(
        "gran",
        "Draw in several strokes: GRAN",
        "A generator draws once, and cannot look at what it has drawn.",
        "A recurrent generator adds to a canvas in T steps, and sees it before each (Im et al., 2016): `gran`.",
        (_train("gran", "--model=gran --set time_steps=3"),),
        _samples("gran"),
    ),
    Stop(
        "info_gan",
        "Codes with a meaning: InfoGAN",
        "Nothing says which number of z changes what.",
        "Some of the latents are codes that a network must be able to read from the image. So they change what is easy "
        "to see (Chen et al., 2016): `info_gan`.",
        (
            _train("info_gan", f"--model=info_gan {_FAST}", steps=2000),
            "python -m gan_zoo.sample --model=runs/tour/info_gan --walk=category_0 --output=runs/tour/info_gan.png",
        ),
        "runs/tour/info_gan.png",
        "Each column is one value of the code of ten categories, which no label has taught.",
    ),
    Stop(
        "aae",
        "An autoencoder with a prior: AAE",
        "The codes of an autoencoder lie anywhere, so a random code decodes to nothing.",
        "A discriminator on the codes makes them look like draws from a prior (Makhzani et al., 2016): `aae`.",
        (
            _train("aae", "--model=aae"),
            "python -m gan_zoo.sample --model=runs/tour/aae --reconstruct=fashion10k --num=32 "
            "--output=runs/tour/aae.png",
        ),
        "runs/tour/aae.png",
        "Rows of images, and their reconstructions below them.",
    ),
    Stop(
        "bigan",
        "Invert the generator: BiGAN",
        "A GAN has no encoder: what is the z of a given image?",
        "D sees pairs, (x, E(x)) and (G(z), z). At the optimum E inverts G (Donahue et al., 2017): `bigan`.",
        (
            _train("bigan", "--model=bigan"),
            "python -m gan_zoo.sample --model=runs/tour/bigan --reconstruct=fashion10k --num=32 "
            "--output=runs/tour/bigan.png",
        ),
        "runs/tour/bigan.png",
        "BiGAN's reconstructions keep the kind of thing more than its pixels: no loss compares pixels.",
    ),
    Stop(
        "vae",
        "The other way: VAE",
        "A GAN gives no likelihood, and no way to say which model explains held-out data better.",
        "Maximise a bound of the log-likelihood instead (Kingma and Welling, 2014): `vae`. Samples are smooth, because "
        "the likelihood averages over what it cannot predict.",
        (_train("vae", "--model=vae"),),
        _samples("vae"),
    ),
    Stop(
        "circling",
        "Why training is hard: the players circle",
        "Each player descends its own loss, and no single quantity falls. Even with one number for each player, plain "
        "training circles the solution for ever.",
        "Look at the vector field and its eigenvalues (Mescheder et al., 2018). Consensus optimization "
        "(`consensus_gan`), a penalty on G's view of D (`gradient_regularized_gan`), unrolling, R1 and instance noise "
        "all turn the circle into a spiral.",
        (
            "python -m gan_zoo.dynamics --models='vanilla_gan(saturating=True),wgan_gp,consensus_gan,"
            "gradient_regularized_gan,r1_gan(gamma=1),vanilla_gan(instance_noise=1.4)' --output=runs/tour/circling.png",
        ),
        "runs/tour/circling.png",
        "[claims.md](claims.md) measures the claims of these papers.",
    ),
    Stop(
        "unrolled",
        "Mode collapse: unrolled GAN",
        "G puts all samples where the current D is highest. D follows, and G moves on to the next mode.",
        "G minimises its loss against the D of K steps later, and differentiates through these steps (Metz et al., "
        "2017): `unrolled_gan`.",
        (_train("unrolled", "--model=unrolled_gan --set unroll_steps=5", _RING, 3000),),
        _samples("unrolled"),
    ),
    Stop(
        "feature_matching",
        "Improved techniques: feature matching",
        "G chases D's score, which changes with every step of D.",
        "G matches the mean of D's features (Salimans et al., 2016): `feature_matching`, or this argument in any "
        "variant.",
        (_train("feature_matching", f"--model=feature_matching {_FAST}"),),
        _samples("feature_matching"),
    ),
    Stop(
        "minibatch_discrimination",
        "Improved techniques: minibatch discrimination",
        "D sees one sample at a time, so it cannot notice that all are the same.",
        "A layer compares each example with the rest of its minibatch: `--minibatch_discrimination`.",
        (
            _train(
                "minibatch_discrimination",
                "--model=vanilla_gan --minibatch_discrimination --batch_size=64",
                _RING,
                3000,
            ),
        ),
        _samples("minibatch_discrimination"),
    ),
    Stop(
        "averaging",
        "Improved techniques: historical averaging, smoothed labels, virtual batch normalization",
        "Players circle, D becomes certain, and with batch normalization a sample depends on the others of its batch.",
        "Stay near the mean of past weights; ask D for 0.9 instead of 1; take the statistics of one fixed batch. Three "
        "arguments of any variant.",
        (
            _train(
                "averaging",
                f"--model=dcgan --set historical_averaging=0.01 --set real_label=0.9 --g_norm=virtual {_FAST}",
            ),
        ),
        _samples("averaging"),
    ),
    Stop(
        "semi_supervised",
        "Improved techniques: learn from few labels",
        "Labels are expensive, and images are not.",
        "D classifies into K classes, and its certainty that an image has any class is its score. Unlabelled images "
        "and samples shape the classifier: `semi_supervised_gan`.",
        (_train("semi_supervised", f"--model=semi_supervised_gan --labelled=100 {_FAST}"),),
        _samples("semi_supervised"),
    ),
    Stop(
        "lsgan",
        "A gradient far from the data: LSGAN",
        "Where D is certain, the cross entropy is flat, and G learns nothing.",
        "Squared distances to fixed scores never become flat (Mao et al., 2017): `lsgan`. A hinge has a constant slope "
        "for G (Lim and Ye, 2017): `hinge_gan`.",
        (_train("lsgan", f"--model=lsgan {_FAST}"),),
        _samples("lsgan"),
    ),
    Stop(
        "noise",
        "Supports that do not meet: instance noise",
        "Data and samples lie on thin sets that do not touch, so D can always be certain.",
        "Noise on both, annealed to nothing, makes them overlap (Sonderby et al., 2017): `instance_noise` in any "
        "variant. A penalty can replace the noise (Roth et al., 2017): `roth_gan`.",
        (_train("noise", "--model=vanilla_gan --set instance_noise=0.5 --set noise_turns=3000", _RING, 3000),),
        _samples("noise"),
    ),
    Stop(
        "ebgan",
        "D as an energy: EBGAN",
        "A classifier learns one bit from each image.",
        "D is an autoencoder, and its error is an energy that is low on the data (Zhao et al., 2017): `ebgan`.",
        (_train("ebgan", "--model=ebgan"),),
        _samples("ebgan"),
    ),
    Stop(
        "wgan",
        "A distance that means something: WGAN and its penalty",
        "The loss of D says nothing about the quality of samples, and a better D gives a worse gradient.",
        "D estimates the earth mover's distance. It must be Lipschitz: by clipped weights (Arjovsky et al., 2017, "
        "`wgan`), or by a penalty on its gradient (Gulrajani et al., 2017, `wgan_gp`).",
        (_train("wgan", "--model=wgan_gp --n_critic=2 --learning_rate=5e-4"),),
        _samples("wgan"),
    ),
    Stop(
        "many_paths",
        "Many paths to the equilibrium",
        "Is it the divergence that makes the Wasserstein GAN work, or the penalty?",
        "The penalty helps other losses as much, even where the divergence they minimise is constant (Fedus et al., "
        "2018): `gan_gp`, and DRAGAN's penalty around the data (Kodali et al., 2017): `dragan`.",
        (_train("many_paths", f"--model=dragan {_FAST}"),),
        _samples("many_paths"),
        "[claims.md](claims.md#where-the-divergence-is-constant-gans-still-learn) has the parallel lines of the paper.",
    ),
    Stop(
        "r1",
        "Converge: R1",
        "WGAN-GP still pushes at the solution, so the players circle around it.",
        "A penalty that is zero at the solution, on data or on samples (Mescheder et al., 2018): `r1_gan`, `r2_gan`.",
        (_train("r1", "--model=r1_gan --set gamma=0.1 --learning_rate=5e-4"),),
        _samples("r1"),
    ),
    Stop(
        "relativistic",
        "Compare, do not judge: the relativistic discriminator",
        "D calls real images real, however good the samples become. But half of a minibatch is fake, as D should know.",
        "D compares real with generated scores (Jolicoeur-Martineau, 2019): `rgan` in pairs, `ragan` with means.",
        (_train("relativistic", f"--model=ragan {_FAST}"),),
        _samples("relativistic"),
    ),
    Stop(
        "kl_wgan",
        "Between f-GANs and Wasserstein: KL-WGAN",
        "f-GANs weight samples by a density ratio, Wasserstein GANs do not.",
        "D's own scores weight the samples (Song and Ermon, 2020): `kl_wgan`.",
        (_train("kl_wgan", "--model=kl_wgan --n_critic=1 --learning_rate=5e-4"),),
        _samples("kl_wgan"),
    ),
    Stop(
        "primal_dual",
        "A Lagrangian view: primal-dual",
        "Where D is wrong far from the data, its gradient leads nowhere.",
        "The dual problem adds a term that moves samples to where the density is missing (Chen et al., 2018): "
        "`primal_dual_gan`.",
        (_train("primal_dual", "--model=primal_dual_gan", _RING, 3000),),
        _samples("primal_dual"),
    ),
    Stop(
        "progressive",
        "Grow: progressive GAN",
        "Large networks from scratch are slow and unstable.",
        "Start with 4 x 4 pixels, and add layers one after the other, fading them in (Karras et al., 2018): "
        "`progressive_gan`.",
        (
            "python train.py --model=progressive_gan --dataset=fashion10k --resolution=32 --width=32 --latent_dim=64 "
            "--set fade_kimg=10 --set stabilize_kimg=15 --run_dir=runs/tour/progressive",
        ),
        _samples("progressive"),
        "[progressive.md](progressive.md) shows faces stage by stage.",
    ),
    Stop(
        "refine",
        "Use the discriminator afterwards: DCD",
        "After training, D is thrown away, although it knows what is wrong with a sample.",
        "A few Langevin steps on D's score improve the samples (Song et al., 2020): `--refine` in any variant.",
        (
            _train("refine", "--model=wgan_gp --learning_rate=5e-4 --n_critic=1", _RING, 3000),
            "python -m gan_zoo.sample --model=runs/tour/refine --refine=latent --refine_steps=20 "
            "--refine_step_size=0.02 --num=1000 --output=runs/tour/refine.png",
        ),
        "runs/tour/refine.png",
    ),
    Stop(
        "assess",
        "How good is it?",
        "Losses do not say how good samples are, and neither does a likelihood.",
        "Compare features of samples and data: Fréchet distance, kernel distance, precision and recall, each with its "
        "protocol and the value of real images.",
        (
            _train("assess", f"--model=dcgan {_FAST}"),
            "python -m gan_zoo.evaluate --model=runs/tour/assess --dataset=fashion10k --num=5000",
        ),
        None,
        "[evaluation.md](evaluation.md) explains the metrics, and [zoo.md](zoo.md) has every variant.",
    ),
    Stop(
        "combination",
        "The best solution is a combination",
        "Each technique repairs one fault.",
        "Combine them: relativistic pairs, R1 and R2, labels. `r3gan` has these losses as one method, with networks "
        "that need no normalization (Huang et al., 2024). Tests try all pairs of arguments.",
        (
            _train(
                "combination",
                "--model=rgan --conditional --set 'penalties=r1(gamma=0.1) + r2(gamma=0.1)' --learning_rate=1e-3",
            ),
        ),
        _samples("combination"),
    ),
)
