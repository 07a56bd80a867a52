"""The benchmarked GANs in plain PyTorch: the same networks, losses and optimizers, in PyTorch's fastest configuration.

On a CPU these are channels-last memory, fused Adam, bfloat16 by autocast, no gradients for the player whose turn it is
not, and optionally `torch.compile`. PyTorch is not a dependency of the zoo: `pip install -e .[benchmarks]`.
"""

import math

import torch
from torch import nn
from torch.nn import functional


def _channels(width, halvings):
    return width * min(2 ** (halvings - 1), 8)


class DCGANGenerator(nn.Module):
    def __init__(self, shape, latent_dim, width):
        super().__init__()
        times = int(math.log2(shape[0] // 4))
        channels = self.channels = _channels(width, times)
        self.dense = nn.Linear(latent_dim, 16 * channels, bias=False)
        layers = [nn.BatchNorm2d(channels), nn.ReLU()]
        for halvings in range(times - 1, 0, -1):
            out = _channels(width, halvings)
            layers += [nn.ConvTranspose2d(channels, out, 5, 2, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        self.body = nn.Sequential(*layers, nn.ConvTranspose2d(channels, shape[-1], 5, 2, 2, 1))

    def forward(self, z):
        x = self.dense(z).view(-1, self.channels, 4, 4).contiguous(memory_format=torch.channels_last)
        return torch.tanh(self.body(x).float())


def dcgan_discriminator(shape, width, norm):
    times = int(math.log2(shape[0] // 4))
    layers, channels = [], shape[-1]
    for halvings in range(1, times + 1):
        normalize, out = norm == "batch" and halvings > 1, _channels(width, halvings)
        layers.append(nn.Conv2d(channels, out, 5, 2, 2, bias=not normalize))
        layers += [nn.BatchNorm2d(out)] if normalize else []
        layers.append(nn.LeakyReLU(0.2))
        channels = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * channels, 1))


class _UpBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.shortcut = nn.Conv2d(width, width, 1)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        y = self.conv1(functional.interpolate(functional.relu(self.first(x)), scale_factor=2))
        y = self.conv2(functional.relu(self.second(y)))
        return self.shortcut(functional.interpolate(x, scale_factor=2)) + y


class ResNetGenerator(nn.Module):
    def __init__(self, shape, latent_dim, width):
        super().__init__()
        times = int(math.log2(shape[0] // 4))
        self.width = width
        self.dense = nn.Linear(latent_dim, 16 * width)
        self.blocks = nn.Sequential(*(_UpBlock(width) for _ in range(times)))
        self.norm, self.out = nn.BatchNorm2d(width), nn.Conv2d(width, shape[-1], 3, padding=1)

    def forward(self, z):
        x = self.dense(z).view(-1, self.width, 4, 4).contiguous(memory_format=torch.channels_last)
        return torch.tanh(self.out(functional.relu(self.norm(self.blocks(x)))).float())


class ResNetDiscriminator(nn.Module):
    def __init__(self, shape, width):
        super().__init__()
        self.first = nn.Conv2d(shape[-1], width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(shape[-1], width, 1)
        self.halvings = [True] * (int(math.log2(shape[0] // 4)) - 2) + [False, False]
        self.convs = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)])
            for _ in self.halvings
        )
        self.shortcuts = nn.ModuleList(nn.Conv2d(width, width, 1) for halve in self.halvings if halve)
        self.first = nn.ModuleList(self.first)
        self.dense = nn.Linear(width, 1)

    def forward(self, images):
        y = functional.avg_pool2d(self.first[1](functional.relu(self.first[0](images))), 2)
        x = self.shortcut(functional.avg_pool2d(images, 2)) + y
        for i, halve in enumerate(self.halvings):
            y = self.convs[i][1](functional.relu(self.convs[i][0](functional.relu(x))))
            x = functional.avg_pool2d(self.shortcuts[i](x), 2) + functional.avg_pool2d(y, 2) if halve else x + y
        return self.dense(functional.relu(x).mean((2, 3)))


def _mlp(inputs, outputs, width, depth):
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def networks(row):
    if row.network == "mlp":
        return _mlp(row.latent_dim, row.shape[0], row.width, 2), _mlp(row.shape[0], 1, row.width, 2)
    if row.network == "resnet":
        return ResNetGenerator(row.shape, row.latent_dim, row.width), ResNetDiscriminator(row.shape, row.width)
    norm = "batch" if row.model == "dcgan" else "none"
    return (
        DCGANGenerator(row.shape, row.latent_dim, row.width),
        dcgan_discriminator(row.shape, row.width, norm),
    )


class DCGANLosses:
    adam = (2e-4, (0.5, 0.999))

    def discriminator_loss(self, D, x, fake):
        return functional.softplus(-D(x).float()).mean() + functional.softplus(D(fake).float()).mean()

    def generator_loss(self, D, fake):
        return functional.softplus(-D(fake).float()).mean()


class WGANGPLosses:
    adam = (1e-4, (0.0, 0.9))

    def discriminator_loss(self, D, x, fake):
        epsilon = torch.rand(x.shape[0], *[1] * (x.dim() - 1))
        between = (epsilon * x + (1 - epsilon) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(D(between).float().sum(), between, create_graph=True)
        norm = torch.sqrt(gradient.float().square().flatten(1).sum(1) + 1e-12)
        return D(fake).float().mean() - D(x).float().mean() + 10 * (norm - 1).square().mean()

    def generator_loss(self, D, fake):
        return -D(fake).float().mean()


class Trainer:
    """The training loop. `run(steps)` returns when the steps are finished."""

    def __init__(self, row, precision, compiled):
        torch.manual_seed(0)
        self.row, self.bfloat16 = row, precision == "mixed_bfloat16"
        self.losses = {"dcgan": DCGANLosses, "wgan_gp": WGANGPLosses}[row.model]()
        self.G, self.D = (network.to(memory_format=torch.channels_last) for network in networks(row))
        rate, betas = self.losses.adam
        self.g_optimizer = torch.optim.Adam(self.G.parameters(), rate, betas, fused=True)
        self.d_optimizer = torch.optim.Adam(self.D.parameters(), rate, betas, fused=True)
        self.g_call, self.d_call = self.G, self.D
        if compiled:
            self.g_call = torch.compile(self.G)
            # A compiled backward pass cannot be differentiated again, as the gradient penalty requires.
            self.d_call = self.D if row.model == "wgan_gp" else torch.compile(self.D)
        if len(row.shape) == 1:
            self.data = torch.randn(100_000, *row.shape)
        else:
            height, width, channels = row.shape
            self.data = torch.randint(0, 256, (2000, height, width, channels), dtype=torch.uint8)

    def _batch(self):
        x = self.data[torch.randint(0, len(self.data), (self.row.batch,))]
        return x if x.dim() == 2 else (x.float() / 127.5 - 1).permute(0, 3, 1, 2)  # a view: still channels last

    def _autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16)

    def _latents(self):
        return torch.randn(self.row.batch, self.row.latent_dim)

    def _move(self, loss, optimizer):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def run(self, steps):
        for _ in range(steps):
            for _ in range(self.row.n_critic):
                with self._autocast():
                    with torch.no_grad():
                        fake = self.g_call(self._latents())
                    loss = self.losses.discriminator_loss(self.d_call, self._batch(), fake)
                self._move(loss, self.d_optimizer)
            self.D.requires_grad_(False)
            with self._autocast():
                loss = self.losses.generator_loss(self.d_call, self.g_call(self._latents()))
            self._move(loss, self.g_optimizer)
            self.D.requires_grad_(True)
        return loss.item()
