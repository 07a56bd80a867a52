"""A DCGAN in plain Keras without optimization for speed, which `throughput.py` compares with the zoo."""

import keras
import tensorflow as tf


def _weights():
    return keras.initializers.RandomNormal(0.0, 0.02)


def _channels(width, halvings):
    return width * min(2 ** (halvings - 1), 8)


def _generator(shape, latent_dim, width):
    times = (shape[0] // 4).bit_length() - 1
    layers = [
        keras.Input((latent_dim,)),
        keras.layers.Dense(16 * _channels(width, times), use_bias=False, kernel_initializer=_weights()),
        keras.layers.Reshape((4, 4, _channels(width, times))),
    ]
    for halvings in range(times - 1, 0, -1):
        layers += [
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Conv2DTranspose(
                _channels(width, halvings), 5, 2, "same", use_bias=False, kernel_initializer=_weights()
            ),
        ]
    layers += [
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Conv2DTranspose(shape[-1], 5, 2, "same", activation="tanh", kernel_initializer=_weights()),
    ]
    return keras.Sequential(layers)


def _discriminator(shape, width):
    layers = [keras.Input(shape)]
    for halvings in range(1, (shape[0] // 4).bit_length()):
        layers.append(keras.layers.Conv2D(_channels(width, halvings), 5, 2, "same", kernel_initializer=_weights()))
        if halvings > 1:
            layers.append(keras.layers.BatchNormalization())
        layers.append(keras.layers.LeakyReLU(0.2))
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(1)])


class KerasDCGAN(keras.Model):
    """Both networks and two tapes in one `train_step`, as in tutorials."""

    def __init__(self, row):
        super().__init__()
        self.latent_dim = row.latent_dim
        self.generator = _generator(row.shape, row.latent_dim, row.width)
        self.discriminator = _discriminator(row.shape, row.width)
        self.loss_function = keras.losses.BinaryCrossentropy(from_logits=True)
        self.built = True

    def compile(self):
        super().compile()
        self.d_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5)
        self.g_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5)

    def train_step(self, images):
        n = tf.shape(images)[0]
        fake = self.generator(tf.random.normal([n, self.latent_dim]), training=True)
        with tf.GradientTape() as tape:
            real_scores = self.discriminator(images, training=True)
            fake_scores = self.discriminator(fake, training=True)
            d_loss = self.loss_function(tf.ones_like(real_scores), real_scores)
            d_loss += self.loss_function(tf.zeros_like(fake_scores), fake_scores)
        variables = self.discriminator.trainable_variables
        self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, variables), variables, strict=True))
        with tf.GradientTape() as tape:
            fake = self.generator(tf.random.normal([n, self.latent_dim]), training=True)
            scores = self.discriminator(fake, training=True)
            g_loss = self.loss_function(tf.ones_like(scores), scores)
        variables = self.generator.trainable_variables
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, variables), variables, strict=True))
        return {"d_loss": d_loss, "g_loss": g_loss}
