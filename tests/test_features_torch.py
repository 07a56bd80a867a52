"""The networks for features equal those in PyTorch, which the extra `torch_test` installs. Otherwise this is skipped.

The published weights of Inception-v3 are a download, so it has random weights here. Statistics of its batch
normalizations are measured on images, so that the activations of all layers have the size that they have in a trained
network. It is compared with the networks of two packages.
"""

import numpy as np
import pytest

from gan_zoo.evaluate.features import efficientnet_lite0, inception, resize, torch_file

torch = pytest.importorskip("torch")
pytorch_fid = pytest.importorskip("pytorch_fid.inception")
torch_fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

SIZES = [(28, 28), (32, 32), (64, 64), (299, 299), (320, 320), (48, 200)]


def images(height, width, number=2):
    """Smooth random images with noise, uint8: noise alone gives all images the same features."""
    rng = np.random.default_rng(height + width)
    coarse = rng.uniform(0, 255, (number, 4, 4, 3)).astype(np.float32)
    smooth = resize.antialiased_bilinear(coarse, 320).numpy()[:, :height, :width]
    return np.clip(smooth + rng.normal(0, 20, smooth.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def network():
    """pytorch-fid's network with random weights, in inference mode."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytorch_fid, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *args: None)
        network = pytorch_fid.fid_inception_v3()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # averages over all batches
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0.0, 0.2)
    x = (resize.tensorflow1_bilinear(images(100, 100, 8), inception.SIDE).numpy() - 128) / 128
    with torch.no_grad():
        network.train()(torch.from_numpy(x.transpose(0, 3, 1, 2)))
    return network.eval()


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    """A file with the network's weights."""
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path


def assert_close(ours, theirs):
    assert theirs.std() > 0.1 * np.abs(theirs).mean() > 0  # the images differ, and nothing has vanished
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.std())


@pytest.mark.parametrize("zipped", [True, False])
def test_the_tensors_are_read_as_pytorch_reads_them(network, zipped, tmp_path):
    torch.save(network.state_dict(), tmp_path / "weights.pth", _use_new_zipfile_serialization=zipped)
    found, expected = torch_file.read((tmp_path / "weights.pth").read_bytes()), network.state_dict()
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], tensor.numpy()) for name, tensor in expected.items())


def test_features_and_outputs_are_those_of_pytorch_fid(network, file):
    tensors = torch_file.read(file.read_bytes())
    graph = inception.compiled(tensors)
    seen = []
    hook = network.fc.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    for size in SIZES:
        x = (resize.tensorflow1_bilinear(images(*size), inception.SIDE).numpy() - 128) / 128
        with torch.no_grad():
            network(torch.from_numpy(x.transpose(0, 3, 1, 2)))
        features, logits = (part.numpy() for part in graph(images(*size)))
        assert features.shape == (2, inception.SIZE) and logits.shape == (2, inception.OUTPUTS)
        assert_close(features, seen[-1][0].numpy())
        assert_close(logits + tensors["fc.bias"], seen[-1][1].numpy())
    hook.remove()


def test_features_and_logits_are_those_of_torch_fidelity_from_the_pixels_on(file):
    theirs = torch_fidelity.FeatureExtractorInceptionV3(
        "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(file)
    )
    graph = inception.compiled(torch_file.read(file.read_bytes()))
    for size in SIZES:
        pixels = images(*size)
        expected = theirs(torch.from_numpy(pixels.transpose(0, 3, 1, 2)))
        for ours, part in zip(graph(pixels), expected, strict=True):
            assert_close(ours.numpy(), part.numpy())


def lite0(tensors, x):
    """The features of EfficientNet-Lite0 in PyTorch, with batch normalization as a step of its own."""

    def convolve(x, convolution, norm, stride=1, groups=1):
        kernel, size = tensors[f"{convolution}.weight"], x.shape[-1]
        padding = max((-(-size // stride) - 1) * stride + kernel.shape[-1] - size, 0)
        x = torch.nn.functional.pad(x, [padding // 2, padding - padding // 2] * 2)
        x = torch.nn.functional.conv2d(x, kernel, stride=stride, groups=groups)
        parts = (tensors[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        return torch.nn.functional.batch_norm(x, *parts, eps=1e-3)

    def relu6(x):
        return x.clamp(0, 6)

    x = relu6(convolve(x, "_conv_stem", "_bn0", 2))
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]  # Tan and Le, 2019, Table 1
    for name, stride in ((f"_blocks.{number}", stride) for number, stride in enumerate(strides)):
        y = relu6(convolve(x, f"{name}._expand_conv", f"{name}._bn0")) if name != "_blocks.0" else x
        y = relu6(convolve(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, y.shape[1]))
        y = convolve(y, f"{name}._project_conv", f"{name}._bn2")
        x = x + y if x.shape == y.shape else y
    return relu6(convolve(x, "_conv_head", "_bn1")).mean(dim=(2, 3))


@pytest.mark.skipif(not efficientnet_lite0.is_here(), reason="needs the extra `eval`")
@pytest.mark.parametrize("side", [64, 128, 150, 224])
def test_features_of_efficientnet_are_those_of_pytorch(side):
    path = efficientnet_lite0._installed()
    tensors = torch.load(path, weights_only=True)
    found = torch_file.read(path.read_bytes())
    assert list(found) == list(tensors)
    assert all(np.array_equal(found[name], tensor.numpy()) for name, tensor in tensors.items())
    x = (resize.antialiased_bilinear(images(100, 100), side).numpy() - 127) / 128
    expected = lite0(tensors, torch.from_numpy(x.transpose(0, 3, 1, 2))).numpy()
    assert_close(efficientnet_lite0.compiled(found, side)(images(100, 100))[0].numpy(), expected)
