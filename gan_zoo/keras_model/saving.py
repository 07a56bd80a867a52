"""Keras's methods that save and export a GAN, with the parts that Keras cannot do without knowledge of the GAN."""

from pathlib import Path

import keras

from gan_zoo.nn.optimizers import inner
from gan_zoo.util.errors import UserError


class Saves:
    """A mixin for a `GAN`: `save`, `export`, checkpoints with all seeds, and final weights of `use_ema` optimizers."""

    def save(self, filepath: str | Path, *args, **kwargs) -> None:
        """Like `keras.Model.save`: writes networks, both optimizers and the random stream to a `.keras` file.

        Raises:
            UserError: If the name ends in .h5 or .hdf5, whose format holds one optimizer.
        """
        if Path(filepath).suffix in (".h5", ".hdf5"):
            raise UserError(
                f"filepath: {filepath} is of Keras's old format, which holds one optimizer, but a GAN has two: save "
                f"to a name that ends in .keras, or use save_weights with a name that ends in .weights.h5."
            )
        super().save(filepath, *args, **kwargs)

    def export(self, filepath: str | Path, format: str = "tf_saved_model", *, input_signature=None, **kwargs) -> None:
        """Like `keras.Model.export`: exports the model as a function from latents to samples.

        The export does not contain the sampling of latents. `gan_zoo.export.saved_model` writes a SavedModel with it.

        Args:
            filepath: A folder for "tf_saved_model", a file for the other formats.
            format: "tf_saved_model", "onnx" or "litert". The last two need further packages.
            input_signature: By default that of latents, float32, [B, Z]; with `classes` a pair, that and labels,
                int32, [B].
            **kwargs: As for `keras.Model.export`.

        Raises:
            UserError: If a package is missing.
        """
        if input_signature is None:
            z = keras.InputSpec(shape=(None, self.latent_size), dtype="float32")
            input_signature = [z if self.classes is None else (z, keras.InputSpec(shape=(None,), dtype="int32"))]
        try:
            super().export(str(filepath), format=format, input_signature=input_signature, **kwargs)
        except ImportError as error:
            raise UserError(f"format={format!r} needs the package {error.name}: pip install {error.name}.") from error

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs) -> dict:
        """The objects that `tf.train.Checkpoint` saves, with the seeds of layers such as dropout, which Keras omits."""
        children = super()._trackable_children(save_type, **kwargs)
        if save_type == "checkpoint":
            known = {id(variable) for variable in (*self.weights, *self.metrics_variables)}
            seeds = [variable for variable in self.variables if id(variable) not in known]
            children |= {f"seed_{k}": variable for k, variable in enumerate(seeds)}
        return children

    def fit(self, *args, **kwargs) -> keras.callbacks.History:
        """Like `keras.Model.fit`. If an optimizer has `use_ema`, its weights become their average at the end."""
        history = super().fit(*args, **kwargs)
        for optimizer in self.optimizers().values():
            optimizer = inner(optimizer)
            optimizer.finalize_variable_values(optimizer._trainable_variables)
        return history
