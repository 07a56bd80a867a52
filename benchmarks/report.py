"""Writes docs/performance.md and docs/scaling.png from docs/performance.json, the output of the benchmarks."""

import json
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"

HEAD = """# Performance

`python benchmarks/report.py` makes this page from [performance.json](performance.json). Every number below was measured
with the command above it, on one machine: {cores} cores of {cpu}, no GPU, TensorFlow {tensorflow}, Keras {keras},
PyTorch {torch}. Other hardware gives other numbers.

A ratio is the median over rounds. In each round all configurations take turns, each in its own process. Brackets hold
the quartiles of the ratio. Above 1 the zoo is faster.
"""

THROUGHPUT = """
## Compared with PyTorch, and with Keras with default settings

    python benchmarks/throughput.py --vs-torch --limits --json=docs/performance.json

- **PyTorch** trains the same networks with the same losses and optimizers, channels last, with fused Adam and, for
  bfloat16, autocast ([torch_gans.py](../benchmarks/torch_gans.py)). It runs eagerly and through `torch.compile`; for
  WGAN-GP only the generator is compiled, because a compiled discriminator cannot be differentiated twice.
- **Keras** is a plain implementation without optimization for speed: Keras's own layers, float32, the defaults of `fit`
  ([keras_gans.py](../benchmarks/keras_gans.py)).
- **The zoo** is `gan.compile(); gan.fit(dataset)` on a decoded folder of images.

Rows without ratios have no counterpart: progressive GAN with the networks of its last stage, and an unrolled GAN with
five inner steps. Rows were measured on different days, at different clock rates of the machine: compare ratios, not
steps.

| row | precision | step | images/s | PyTorch | `torch.compile` | Keras, float32 |
|---|---|---|---|---|---|---|
"""

LIMITS = """
## Compared with the machine's limit

FLOPs are counted from the operations of a traced step, two for a multiplication with addition, with the standard
algorithm for each convolution. The limit is the best rate of a 2048 x 2048 matrix product in the same process; the
clock rate of a shared machine varies from minute to minute. "Kernels alone" is the time of the step's convolutions and
matrix products, each measured by itself in TensorFlow's own kernel; a step can be shorter where the zoo uses another
algorithm. The last column is the share of the profiled step that convolutions and matrix products take, with one kernel
running at a time.

| row | precision | GFLOP per step | GFLOP/s | limit | share of limit | kernels alone | step | in products |
|---|---|---|---|---|---|---|---|---|
"""

PROFILE = """
Share of each kind of operation, in percent of the profiled step:

| row | precision | {parts} |
|---|---|{rule}
"""

LEVERS = """
## Gain of each optimization

    python benchmarks/levers.py --rows=dcgan-64,dcgan-ring8 --json=docs/performance.json
    python benchmarks/levers.py --rows=wgan_gp-64 --precisions=mixed_bfloat16 --json=docs/performance.json

Each number is the time of a step without the optimization, divided by the time with all of them: 1.10 means that the
optimization makes the step 1.1 times as fast. Gains multiply. The first line removes nothing, so it shows the noise.

| optimization | {columns} |
|---|{rule}
"""

LEFT_OUT = """
Tried and not used, with the gain that each would give:

| | {columns} |
|---|{rule}
"""

NOTES = """
Explanations:

- **Convolutions by the fastest algorithm** ([convolution.py](../gan_zoo/nn/convolution.py)): the gradient of a kernel
  with many weights, and the convolution itself at few positions, is one matrix product over patches. The last layer of
  a generator is a 3 x 3 convolution that computes blocks of 2 x 2 pixels. `python benchmarks/convolutions.py` measures
  where this is faster.
- **Fused batch normalization**: one operation instead of the dozen that Keras uses.
- **LeakyReLU differentiated from its output**: its input is not stored, TensorFlow fuses it with the convolution before
  it, and the second derivative, which a gradient penalty needs, is cheaper.
- **Adam in one kernel**: one operation for each variable instead of a dozen.
- **Real and generated images in one pass**, where no layer of the network mixes examples. With batch normalization each
  minibatch needs its own statistics. Perceptrons are faster in two passes, which run in parallel.
- **No gradients for the player that rests**, the one whose turn it is not: TensorFlow prunes unused operations, so
  computing them costs little.
- **Many steps per call of the graph**: for perceptrons, whose step takes as long as the return to Python.
- **XLA** is off by default: on a CPU it is slower for perceptrons than the graph, whose independent operations run in
  parallel. `--jit_compile` turns it on.
- **The generator's turn on the discriminator's images** saves a pass of the generator. Algorithm 1 of Goodfellow et al.
  (2014) draws new latents for each turn, and so does the zoo.
"""

SCALING = """
## Scaling

    python benchmarks/scaling.py --json=docs/performance.json

`wgan_gp` with DCGAN networks on 32 x 32 images, batch 64, width 64, one critic turn, in {precision}; one number varies
at a time. Memory is the peak of the whole process, including TensorFlow.

![throughput and memory](scaling.png)

| what varies | value | step | images/s | peak memory |
|---|---|---|---|---|
"""

SYSTEM = """
## Start-up, data, estimates

    python benchmarks/system.py --json=docs/performance.json

| | measured |
|---|---|
"""


def _ratio(value: dict | None) -> str:
    return f"**{value['ratio']:.2f}** [{value['low']:.2f}, {value['high']:.2f}]" if value else ""


def _name(precision: str) -> str:
    return precision.removeprefix("mixed_")


def _throughput(results: list[dict]) -> str:
    lines = []
    for r in results:
        step, ratios = r["engines"]["zoo"]["seconds"], r["ratios"]
        cells = [r["row"], _name(r["precision"]), f"{step * 1e3:.4g} ms", f"{r['images_per_step'] / step:,.0f}"]
        cells += [_ratio(ratios.get(name)) for name in ("torch", "torch.compile", "keras")]
        lines.append(f"| {' | '.join(cells)} |")
    return THROUGHPUT + "\n".join(lines) + "\n"


def _limits(results: list[dict]) -> str:
    lines, parts = [], []
    for r in results:
        step, best, profile = r["profile_step_seconds"], r["matmul_flops_per_second"], r["profile_seconds"]
        rate = r["step_flops"] / step
        share = profile["convolutions and matrix products"] / sum(profile.values())
        cells = [r["row"], _name(r["precision"]), f"{r['step_flops'] / 1e9:.4g}", f"{rate / 1e9:.0f}"]
        cells += [f"{best / 1e9:.0f}", f"{rate / best:.0%}", f"{r['products_alone_seconds'] * 1e3:.4g} ms"]
        lines.append(f"| {' | '.join([*cells, f'{step * 1e3:.4g} ms', f'**{share:.0%}**'])} |")
        parts += [part for part in profile if part not in parts]
    shares = []
    for r in results:
        total = sum(r["profile_seconds"].values())
        cells = [f"{r['profile_seconds'].get(part, 0.0) / total:.1%}" for part in parts]
        shares.append(f"| {' | '.join([r['row'], _name(r['precision']), *cells])} |")
    head = PROFILE.format(parts=" | ".join(parts), rule="---|" * len(parts))
    return LIMITS + "\n".join(lines) + "\n" + head + "\n".join(shares) + "\n"


def _levers(results: list[dict]) -> str:
    columns = " | ".join(f"{r['row']}, {_name(r['precision'])}" for r in results)
    text = ""
    for head, key in ((LEVERS, "levers"), (LEFT_OUT, "left_out")):
        names = list(dict.fromkeys(name for r in results for name in r[key]))
        text += head.format(columns=columns, rule="---|" * len(results))
        text += "\n".join(f"| {' | '.join([name, *(_ratio(r[key].get(name)) for r in results)])} |" for name in names)
        text += "\n"
    return text + NOTES


def _scaling(found: dict) -> str:
    lines = [
        f"| {axis} | {p['value']} | {p['seconds'] * 1e3:.4g} ms | {p['images_per_second']:,.0f} | "
        f"{p['peak_bytes'] / 2**30:.2f} GiB |"
        for axis, points in found["axes"].items()
        for p in points
    ]
    sizes = found["axes"]["batch size"]
    growth = (sizes[-1]["peak_bytes"] - sizes[-2]["peak_bytes"]) / (sizes[-1]["value"] - sizes[-2]["value"])
    text = SCALING.format(precision=_name(found["precision"])) + "\n".join(lines) + "\n"
    last = (
        f"From batch {sizes[-2]['value']} to {sizes[-1]['value']} each image adds {growth / 2**20:.2f} MiB to the peak."
    )
    return f"{text}\n{last}\n"


def _system(found: dict) -> str:
    data = found["data"]
    rows = {
        "`train.py --help`": f"{found['help_seconds']:.2f} s",
        "launch to the first finished step, dcgan-64": f"{found['first_step_seconds']:.1f} s",
        "first epoch, JPEG 64 x 64 decoded in parallel": f"{data['decoded_per_second']:,.0f} images/s",
        "cached pipeline, 64 x 64": f"{data['cached_per_second']:,.0f} images/s",
        "dcgan-64 in bfloat16 consumes": f"{data['consumed_per_second']:,.0f} images/s: "
        f"the pipeline is {data['cached_per_second'] / data['consumed_per_second']:,.0f} times as fast",
        "input wait, dcgan-64 in bfloat16": f"{data['input_wait']:.2%} of the step",
    }
    for name, run in found["dry_run"].items():
        seconds = run["estimated_step_seconds"] / run["step_seconds"] - 1
        memory = run["estimated_gibibytes"] / run["gibibytes"] - 1
        rows[f"`--dry_run`, {name}"] = (
            f"step {run['estimated_step_seconds'] * 1e3:.4g} ms, then {run['step_seconds'] * 1e3:.4g} ms "
            f"({seconds:+.0%}); memory {run['estimated_gibibytes']:.2f} GiB, then {run['gibibytes']:.2f} GiB "
            f"({memory:+.0%})"
        )
    return SYSTEM + "\n".join(f"| {name} | {value} |" for name, value in rows.items()) + "\n"


def markdown(results: dict) -> str:
    text = HEAD.format(**{"torch": "not measured", **results["machine"]})
    sections = {
        "throughput": _throughput,
        "limits": _limits,
        "levers": _levers,
        "scaling": _scaling,
        "system": _system,
    }
    return text + "".join(make(results[name]) for name, make in sections.items() if name in results)


def plot(found: dict, path: Path) -> None:
    """Throughput and peak memory over each number that varies."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained", dpi=80)
    axes = figure.subplots(2, len(found["axes"]), sharey="row")
    for column, (name, points) in zip(axes.T, found["axes"].items(), strict=True):
        values = [p["value"] for p in points]
        column[0].loglog(values, [p["images_per_second"] for p in points], "o-")
        column[1].semilogx(values, [p["peak_bytes"] / 2**30 for p in points], "o-", color="tab:orange")
        for panel in column:
            panel.set_xticks(values, labels=[str(v) for v in values])
            panel.minorticks_off()
            panel.grid(alpha=0.3)
        column[1].set_xlabel(name)
    axes[0, 0].set_ylabel("images / s")
    axes[1, 0].set_ylabel("peak memory, GiB")
    axes[1, 0].set_ylim(bottom=0)
    figure.savefig(path)


def main() -> None:
    results = json.loads((DOCS / "performance.json").read_text())
    (DOCS / "performance.md").write_text(markdown(results))
    if "scaling" in results:
        plot(results["scaling"], DOCS / "scaling.png")


if __name__ == "__main__":
    main()
