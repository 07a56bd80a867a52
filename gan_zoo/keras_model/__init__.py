"""The parts of `gan_zoo.GAN` that make it a Keras model: for_images, compile, fit, evaluate, encode, save.

Imports `util`, `nn`, `networks` and `penalties`; `gan.py` combines the parts.
"""
