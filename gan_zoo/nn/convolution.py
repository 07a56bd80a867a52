"""2-D convolution and its two gradients, each with the algorithm that is faster on a CPU.

TensorFlow's CPU kernels (oneDNN) run near the limit of the machine, with two exceptions, which occur in every step of
a GAN. Deep layers have many weights and few positions; here they are computed as one matrix product over patches. The
last layer of a generator has the three channels of an image; here it is computed as a convolution of stride 1 that
makes all four pixels of a 2 x 2 block at once. Both compute the same sums in another order.
`benchmarks/convolutions.py` measures where they are faster. Other devices always use TensorFlow's own kernels.

Each of the three functions has the other two as its derivatives, so gradients of any order use these functions only.
Let C(x, w) be the convolution, I(dy, w) its gradient in x and W(x, dy) its gradient in w. All are bilinear, and

    dC = I, W        dI = C, W        dW = I, C

Images are [B, H, W, C] of a known size, not necessarily square. Kernels are [K, K, in, out]. The padding is "same".
`convolve_groups` is a convolution in groups of channels, whose gradients TensorFlow lacks on CPUs.
"""

import tensorflow as tf

# The number of a kernel's weights from which matrix products over patches are faster. For the gradient in the kernel
# this is the only condition. The other two functions gain only if there are few positions, up to 4 x 4.
_FEW_POSITIONS = 16
_MANY_WEIGHTS = {tf.float32: 3 * 2**20, tf.bfloat16: 4 * 2**20}
_MANY_WEIGHTS_GRADIENT = {tf.float32: 2**20, tf.bfloat16: 3 * 2**18}
_FEW_CHANNELS = 4


def convolve(x: tf.Tensor, kernel: tf.Tensor, stride: int = 1) -> tf.Tensor:
    """C(x, w): [B, H, W, in] to [B, H / stride, W / stride, out]."""
    size = x.shape[1:3]

    @tf.custom_gradient
    def call(x, kernel):
        y = _convolve(tf.stop_gradient(x), tf.stop_gradient(kernel), stride)

        def gradients(dy):
            dy = _with_static_shape(y, dy)
            return convolve_transpose(dy, kernel, stride, size), kernel_gradient(x, dy, stride, kernel.shape[:2])

        return y, gradients

    return call(x, kernel)


def _with_static_shape(value: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """`gradient` with the static shape of `value`; the gradient of a concatenation has no static shape."""
    gradient.set_shape(value.shape)
    return gradient


def convolve_transpose(dy: tf.Tensor, kernel: tf.Tensor, stride: int, size) -> tf.Tensor:
    """I(dy, w): [B, H / stride, W / stride, out] to [B, H, W, in]; `size` is (H, W)."""

    @tf.custom_gradient
    def call(dy, kernel):
        x = _convolve_transpose(tf.stop_gradient(dy), tf.stop_gradient(kernel), stride, size)

        def gradients(dx):
            dx = _with_static_shape(x, dx)
            return convolve(dx, kernel, stride), kernel_gradient(dx, dy, stride, kernel.shape[:2])

        return x, gradients

    return call(dy, kernel)


def kernel_gradient(x: tf.Tensor, dy: tf.Tensor, stride: int, kernel_size) -> tf.Tensor:
    """W(x, dy): [B, H, W, in] and [B, H / stride, W / stride, out] to the kernel's shape."""

    @tf.custom_gradient
    def call(x, dy):
        kernel = _kernel_gradient(tf.stop_gradient(x), tf.stop_gradient(dy), stride, kernel_size)
        return kernel, lambda dw: (convolve_transpose(dy, dw, stride, x.shape[1:3]), convolve(x, dw, stride))

    return call(x, dy)


def convolve_groups(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A convolution in G groups with stride 1: [B, H, W, in] to [B, H, W, out].

    Group g maps the g-th in / G channels of x to the g-th out / G channels of the result. TensorFlow has no gradients
    of this operation on CPUs. Here the gradient in x is the convolution with a reversed kernel, and the gradient in the
    kernel is that of one convolution for each group.

    Args:
        x: Images, [B, H, W, in].
        kernel: [K, K, in / G, out], K odd.
    """
    if not _on_cpu():
        return tf.nn.conv2d(x, kernel, 1, "SAME")
    groups = x.shape[-1] // kernel.shape[2]

    @tf.custom_gradient
    def call(x, kernel):
        y = tf.nn.conv2d(tf.stop_gradient(x), tf.stop_gradient(kernel), 1, "SAME")

        def gradients(dy):
            dy = _with_static_shape(y, dy)
            return convolve_groups(dy, _reversed(kernel, groups)), _groups_kernel_gradient(
                x, dy, kernel.shape[:2], groups
            )

        return y, gradients

    return call(x, kernel)


def _groups_kernel_gradient(x: tf.Tensor, dy: tf.Tensor, kernel_size, groups: int) -> tf.Tensor:
    """The gradient of `convolve_groups` in its kernel, for the gradient dy of its result."""

    @tf.custom_gradient
    def call(x, dy):
        parts = zip(*(tf.split(tf.stop_gradient(part), groups, axis=-1) for part in (x, dy)), strict=True)
        kernel = tf.concat([_kernel_gradient(*part, 1, kernel_size) for part in parts], axis=-1)
        return kernel, lambda dw: (convolve_groups(dy, _reversed(dw, groups)), convolve_groups(x, dw))

    return call(x, dy)


def _reversed(kernel: tf.Tensor, groups: int) -> tf.Tensor:
    """The kernel of the gradient of `convolve_groups` in x: reversed in space, with in and out exchanged in a group."""
    height, width, channels, out = kernel.shape
    kernel = tf.reshape(kernel, [height, width, channels, groups, out // groups])
    kernel = tf.reverse(tf.transpose(kernel, [0, 1, 4, 3, 2]), [0, 1])
    return tf.reshape(kernel, [height, width, out // groups, groups * channels])


def _convolve(x, kernel, stride):
    out = kernel.shape[-1]
    if _by_matrix(kernel.shape, x.shape[1:3], stride, x.dtype, _MANY_WEIGHTS, _FEW_POSITIONS):
        patches = _patches(x, stride, kernel.shape[:2])
        y = tf.matmul(tf.reshape(patches, [-1, patches.shape[-1]]), tf.reshape(kernel, [-1, out]))
        return tf.reshape(y, [-1, *patches.shape[1:3], out])
    return tf.nn.conv2d(x, kernel, stride, "SAME")


def _convolve_transpose(dy, kernel, stride, size):
    *kernel_size, channels, out = kernel.shape
    if _by_matrix(kernel.shape, size, stride, dy.dtype, _MANY_WEIGHTS, _FEW_POSITIONS):
        patches = tf.matmul(tf.reshape(dy, [-1, out]), tf.reshape(kernel, [-1, out]), transpose_b=True)
        return _sum_patches(tf.reshape(patches, [-1, *dy.shape[1:3], patches.shape[-1]]), stride, kernel_size, size)
    if _by_blocks(kernel.shape, size, stride):
        return tf.nn.depth_to_space(tf.nn.conv2d(dy, _block_kernel(kernel), 1, "SAME"), 2)
    shape = tf.stack([tf.shape(dy)[0], *size, channels]) if dy.shape[0] is None else [dy.shape[0], *size, channels]
    return tf.nn.conv2d_transpose(dy, kernel, shape, stride, "SAME")


def _kernel_gradient(x, dy, stride, kernel_size):
    shape = [*kernel_size, x.shape[-1], dy.shape[-1]]
    if _by_matrix(shape, x.shape[1:3], stride, x.dtype, _MANY_WEIGHTS_GRADIENT):
        patches = _patches(x, stride, kernel_size)
        kernel = tf.matmul(
            tf.reshape(patches, [-1, patches.shape[-1]]), tf.reshape(dy, [-1, dy.shape[-1]]), transpose_a=True
        )
        return tf.reshape(kernel, shape)
    return tf.raw_ops.Conv2DBackpropFilter(
        input=x, filter_sizes=shape, out_backprop=dy, strides=[1, stride, stride, 1], padding="SAME"
    )


def _by_matrix(shape, size, stride, dtype, many_weights, few_positions=None) -> bool:
    """Whether a matrix product over patches is faster than TensorFlow's kernel."""
    if not _on_cpu() or dtype not in many_weights or stride > min(shape[:2]):
        return False
    if tuple(shape[:2]) == (1, 1) and stride == 1:
        return True  # a 1 x 1 convolution is a matrix product
    positions = -(-size[0] // stride) * -(-size[1] // stride)
    weights = tf.TensorShape(shape).num_elements()
    return weights >= many_weights[dtype] and (few_positions is None or positions <= few_positions)


def _by_blocks(shape, size, stride) -> bool:
    """Whether computing the four pixels of a 2 x 2 block as channels is faster than TensorFlow's kernel."""
    if not _on_cpu():
        return False
    even = size[0] % 2 == size[1] % 2 == 0
    return even and stride == 2 and all(3 <= k <= 5 for k in shape[:2]) and shape[2] <= _FEW_CHANNELS


def _on_cpu() -> bool:
    return not any(device.device_type in ("GPU", "TPU") for device in tf.config.list_logical_devices())


def _padding(size: int, kernel_size: int, stride: int) -> tuple[int, int, int]:
    """For one axis: the number of positions, the padding in front, and the padded length in units of the stride."""
    positions = -(-size // stride)
    front = max((positions - 1) * stride + kernel_size - size, 0) // 2
    return positions, front, positions + (kernel_size - 1) // stride


def _patches(x, stride, kernel_size):
    """The input patch of each position of a convolution, [B, H / stride, W / stride, K K in].

    Slices with a stride are slow. So a reshape first separates the pixels by their offset within a stride.
    """
    (h, top, rows), (w, left, columns) = (_padding(x.shape[i + 1], kernel_size[i], stride) for i in (0, 1))
    below, right = rows * stride - x.shape[1] - top, columns * stride - x.shape[2] - left
    x = tf.pad(x, [[0, 0], [top, below], [left, right], [0, 0]])
    channels = x.shape[-1]
    x = tf.reshape(x, [-1, rows, stride, columns, stride * channels])
    phases = [x[:, :, i] for i in range(stride)]

    def tap(i, j):
        first = j % stride * channels
        return phases[i % stride][
            :, i // stride : i // stride + h, j // stride : j // stride + w, first : first + channels
        ]

    taps = [tap(i, j) for i in range(kernel_size[0]) for j in range(kernel_size[1])]
    return tf.concat(taps, axis=-1) if len(taps) > 1 else taps[0]


def _sum_patches(patches, stride, kernel_size, size):
    """The transpose of `_patches`: sums patches, [B, H / stride, W / stride, K K in], into images, [B, H, W, in]."""
    (h, top, rows), (w, left, columns) = (_padding(size[i], kernel_size[i], stride) for i in (0, 1))
    taps = tf.split(patches, kernel_size[0] * kernel_size[1], axis=-1)

    def place(i, j):
        i, tap, j = i // stride, taps[i * kernel_size[1] + j], j // stride
        return tf.pad(tap, [[0, 0], [i, rows - h - i], [j, columns - w - j], [0, 0]])

    def phase(a, b):
        return tf.add_n(
            [place(i, j) for i in range(a, kernel_size[0], stride) for j in range(b, kernel_size[1], stride)]
        )

    x = tf.stack([tf.stack([phase(a, b) for b in range(stride)], axis=3) for a in range(stride)], axis=2)
    x = tf.reshape(x, [-1, rows * stride, columns * stride, taps[0].shape[-1]])
    return x[:, top : top + size[0], left : left + size[1]]


def _block_kernel(kernel):
    """The 3 x 3 kernel, [3, 3, out, 4 in], that computes each 2 x 2 block of pixels of a transposed convolution.

    Pixel 2 q + a is the sum of dy[q + d] w[a + p - 2 d] over d = -1, 0, 1, where p is the padding in front. Terms whose
    index is outside of the kernel are left out.
    """
    *kernel_size, channels, out = kernel.shape
    before = [2 - _padding(2, k, 2)[1] for k in kernel_size]
    kernel = tf.pad(kernel, [*([b, 6 - k - b] for b, k in zip(before, kernel_size, strict=True)), [0, 0], [0, 0]])
    kernel = tf.reverse(tf.reshape(kernel, [3, 2, 3, 2, channels, out]), [0, 2])
    return tf.reshape(tf.transpose(kernel, [0, 2, 5, 1, 3, 4]), [3, 3, out, 4 * channels])
