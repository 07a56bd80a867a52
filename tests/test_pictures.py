"""Pictures: values of pixels, layout of grids, and files that are complete or absent."""

import numpy as np
import pytest
from PIL import Image

from gan_zoo.util import files, pictures
from gan_zoo.util.errors import UserError


def test_uint8_values():
    x = np.array([-1.0, 1.0, 0.0, -2.0, 3.0, -1 + 1 / 127.5, -1 + 0.49 / 127.5, -1 + 0.51 / 127.5, np.nan, np.inf])
    assert pictures.to_uint8(x).tolist() == [0, 255, 128, 0, 255, 1, 0, 1, 0, 255]  # 127.5 rounds to even


def test_uint8_inverts_scaling():
    levels = np.arange(256, dtype=np.uint8)
    assert (pictures.to_uint8(levels / 127.5 - 1) == levels).all()


def test_uint8_of_half_precision_rounds_in_float32():
    x = np.linspace(-1, 1, 999).astype(np.float16)
    assert (pictures.to_uint8(x) == pictures.to_uint8(x.astype(np.float32))).all()


def test_grid_layout():
    tiles = np.arange(1, 4, dtype=np.uint8).reshape(3, 1, 1, 1).repeat(2, 1).repeat(3, 2) * 10
    got = pictures.grid(tiles, columns=2, pad=1, scale=1)[..., 0]
    w = 255
    assert got.tolist() == [
        [w, w, w, w, w, w, w, w, w],
        [w, 10, 10, 10, w, 20, 20, 20, w],
        [w, 10, 10, 10, w, 20, 20, 20, w],
        [w, w, w, w, w, w, w, w, w],
        [w, 30, 30, 30, w, w, w, w, w],
        [w, 30, 30, 30, w, w, w, w, w],
        [w, w, w, w, w, w, w, w, w],
    ]


def test_grid_magnifies_by_repeating_pixels():
    tile = np.array([[0.0, 1.0], [-1.0, 0.5]], np.float32).reshape(1, 2, 2, 1)
    got = pictures.grid(tile, pad=0, scale=3)[..., 0]
    assert (got == np.kron(pictures.to_uint8(tile[0, ..., 0]), np.ones((3, 3)))).all()


@pytest.mark.parametrize(("side", "scale"), [(8, 8), (28, 2), (32, 2), (64, 1), (128, 1)])
def test_grid_brings_small_images_near_64_pixels(side, scale):
    assert pictures.grid(np.zeros((1, side, side, 3)), pad=0).shape == (side * scale, side * scale, 3)


@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (5, 2, 3), (16, 4, 4), (17, 4, 5)])
def test_grid_is_near_square(n, rows, columns):
    assert pictures.grid(np.zeros((n, 2, 2, 1)), pad=0, scale=1).shape == (2 * rows, 2 * columns, 1)


def test_grid_has_no_more_columns_than_images():
    assert pictures.grid(np.zeros((2, 4, 4, 1)), columns=8, pad=0, scale=1).shape == (4, 8, 1)


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"images": np.zeros((0, 4, 4, 1))}, "images"),
        ({"images": np.zeros((4, 4, 1))}, "images"),
        ({"images": np.zeros((2, 4, 4, 2))}, "images"),
        ({"images": np.zeros((2, 4, 4, 1)), "columns": 0}, "columns"),
        ({"images": np.zeros((2, 4, 4, 1)), "scale": 0}, "scale"),
        ({"images": np.zeros((2, 4, 4, 1)), "pad": -1}, "pad"),
    ],
)
def test_grid_errors(kwargs, word):
    with pytest.raises(UserError, match=f"^{word} must be"):
        pictures.grid(**kwargs)


def blue(picture):
    """Returns where a picture shows samples: pixels with clearly more blue than red."""
    return picture[..., 2].astype(int) > picture[..., 0].astype(int) + 40


def test_scatter_puts_points_where_they_are():
    got = pictures.scatter(np.array([[0.5, 0.5]]), limits=(-1.0, 1.0))
    assert got.shape == (512, 512, 3)
    assert got.dtype == np.uint8
    rows, columns = np.nonzero(blue(got))
    # The axes cover 0.06 to 0.98 of the height from the bottom and 0.08 to 0.98 of the width, minus margins.
    assert rows.mean() / 512 == pytest.approx(1 - (0.06 + 0.75 * 0.92), abs=0.02)
    assert columns.mean() / 512 == pytest.approx(0.08 + 0.75 * 0.9, abs=0.02)


def test_scatter_leaves_out_what_is_not_finite():
    points = np.array([[0.0, 0.0], [np.nan, 1.0], [np.inf, 0.0]])
    assert (pictures.scatter(points) == pictures.scatter(points[:1])).all()
    pictures.scatter(points[1:])


def test_scatter_shows_real_points_in_grey():
    real = np.random.default_rng(0).normal(size=(500, 2))
    alone, both = pictures.scatter(real[:0], limits=(-3, 3)), pictures.scatter(real[:0], real, limits=(-3, 3))
    assert (alone != both).any()
    # The legend has one blue dot; nothing else is blue.
    assert blue(both).sum() < 100


def test_scatter_leaves_pyplot_alone():
    import sys

    before = sys.modules.get("matplotlib.pyplot")
    pictures.scatter(np.zeros((1, 2)))
    assert sys.modules.get("matplotlib.pyplot") is before


@pytest.mark.parametrize("shape", [(3,), (3, 3), (2, 2, 2)])
def test_scatter_errors(shape):
    with pytest.raises(UserError, match=r"^points must be \[N, 2\]"):
        pictures.scatter(np.zeros(shape))


def test_histogram_shows_densities():
    # Each of two bins of 0.02 has half of the numbers: their height is 25, and that of the axis 1.6 times 25.
    got = pictures.histogram(np.array([[-0.49]] * 5 + [[0.51]] * 5), limits=(-1.0, 1.0))
    assert (got.shape, got.dtype) == ((512, 512, 3), np.uint8)
    rows, columns = np.nonzero(blue(got))
    assert rows.max() / 512 == pytest.approx(1 - 0.06, abs=0.01)
    assert (rows.max() - rows.min()) / 512 == pytest.approx(0.92 / 1.6, abs=0.01)
    centres = 0.08 + 0.9 * (np.array([-0.49, 0.51]) + 1) / 2
    assert set(np.round(columns / 512, 2)) <= {c for x in centres for c in np.round([x - 0.01, x, x + 0.01], 2)}


def test_histogram_over_real_numbers():
    real = np.random.default_rng(0).normal(size=(500, 1))
    alone, both = pictures.histogram(real[:0], limits=(-3, 3)), pictures.histogram(real[:0], real, limits=(-3, 3))
    assert (alone != both).any()
    assert blue(both).sum() < 1000  # only the legend
    # Only the data determine the axes.
    near, far = pictures.histogram(real, real), pictures.histogram(100 * real, real)
    np.testing.assert_array_equal(near[:, :40], far[:, :40])


def test_histogram_leaves_out_what_is_not_finite():
    numbers = np.array([[0.0], [np.nan], [np.inf]])
    assert (pictures.histogram(numbers) == pictures.histogram(numbers[:1])).all()
    pictures.histogram(numbers[1:])
    pictures.histogram(numbers[:0], numbers[:1])


def test_projection_is_on_the_principal_axes():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(400, 2)) * [3, 1]
    axes = np.linalg.qr(rng.normal(size=(5, 2)))[0]
    real = flat @ axes.T + [1, 2, 3, 4, 5]
    points, seen = pictures.project(real[:10], real)
    assert seen.shape == (400, 2)
    np.testing.assert_allclose(points, seen[:10])
    # A plane is projected without distortion, whatever its position.
    np.testing.assert_allclose(seen @ seen.T, (flat - flat.mean(axis=0)) @ (flat - flat.mean(axis=0)).T, atol=1e-9)
    np.testing.assert_allclose(np.cov(seen.T)[0, 1], 0, atol=1e-9)
    assert seen[:, 0].std() > seen[:, 1].std()
    # The signs do not depend on those of the decomposition.
    np.testing.assert_allclose(pictures.project(real[::-1])[0][::-1], seen, atol=1e-9)


def test_projection_of_few_points():
    x = np.arange(12.0).reshape(3, 4)
    assert pictures.project(x[:1])[0].tolist() == [[0, 0]]
    assert pictures.project(x[:0], x[:0])[1].shape == (0, 2)
    points, real = pictures.project(np.array([[np.nan] * 4, [1.0] * 4]), x)
    assert (points.shape, real.shape) == ((1, 2), (3, 2))
    for bad in (np.zeros((3, 1)), np.zeros(3)):
        with pytest.raises(UserError, match=r"^points must be \[N, D\] with D from 2 up"):
            pictures.project(bad)
    with pytest.raises(UserError, match=r"^real must be \[N, 4\]"):
        pictures.project(x, np.zeros((3, 3)))


def test_picture_goes_by_rank():
    points, tiles = np.random.default_rng(0).normal(size=(9, 2)), np.zeros((6, 4, 4, 3))
    assert (
        pictures.picture(points, real=points, limits=(-2, 2)) == pictures.scatter(points, points, limits=(-2, 2))
    ).all()
    assert (pictures.picture(tiles, columns=2) == pictures.grid(tiles, 2)).all()
    assert (
        pictures.picture(points[:, :1], real=points[:, 1:]) == pictures.histogram(points[:, :1], points[:, 1:])
    ).all()
    space = np.random.default_rng(0).normal(size=(9, 4))
    assert (pictures.picture(space, real=space) == pictures.scatter(*pictures.project(space, space))).all()
    with pytest.raises(UserError, match="images must be"):
        pictures.picture(np.zeros((2, 2, 2)))
    with pytest.raises(UserError, match=r"^real must be \[N, 1\]"):
        pictures.picture(points[:, :1], real=points)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_pixels(tmp_path, channels):
    array = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    path = tmp_path / "new" / "folder" / "x.png"
    pictures.save_png(array, path)
    with Image.open(path) as image:
        assert image.mode == {1: "L", 3: "RGB"}[channels]
        assert (np.asarray(image).reshape(array.shape) == array).all()
    assert [p.name for p in path.parent.iterdir()] == ["x.png"]


def test_atomic_file_keeps_the_old_one_on_failure(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def fail():
        with files.atomic_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
