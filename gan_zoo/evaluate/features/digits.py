"""Features of the zoo's own classifier of handwritten digits, for MNIST and its like. It needs no download in a clone.

Its Frechet distance is not the FID, and does not compare with published numbers.
"""

import tensorflow as tf

from gan_zoo.evaluate.features import resize
from gan_zoo.evaluate.features.interface import Features, as_float, fingerprint
from gan_zoo.metrics import digits
from gan_zoo.util.errors import UserError, argument

NAME = "digits"
PREPROCESSING = f"antialiased bilinear to {digits.SIDE}x{digits.SIDE}, x / 127.5 - 1"
_TITLE = "digit classifier"


def load() -> Features:
    """Returns the features of `gan_zoo.metrics.digits.load_classifier`: 1568 features, and 10 logits.

    Features are the inputs of its last layer. It takes grey images only, because a mean over the channels of colour
    MNIST, which has a digit in each channel, would not be a digit.

    Raises:
        UserError: If the classifier is not available.
    """
    import keras

    classifier = digits.load_classifier()
    model = keras.Model(classifier.inputs, [classifier.layers[-1].input, classifier.outputs[0]])

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1], tf.float32)], autograph=False)
    def graph(images):
        return model(resize.antialiased_bilinear(images, digits.SIDE) / 127.5 - 1.0, training=False)

    def compute(images):
        if images.shape[-1] != 1:
            raise UserError(
                f"{argument('features')}={NAME} takes grey images, [N, H, W, 1], and these have {images.shape[-1]} "
                "channels: take another network."
            )
        return tuple(part.numpy() for part in graph(as_float(images)))

    return Features(
        name=NAME,
        title=_TITLE.capitalize(),
        frechet_name=f"Frechet distance ({_TITLE})",
        fingerprint=fingerprint(NAME, *classifier.get_weights(), PREPROCESSING),
        preprocessing=PREPROCESSING,
        size=model.output_shape[0][-1],
        outputs=model.output_shape[1][-1],
        compute=compute,
    )
