"""The judge of images: how close a generator's images are to those of a dataset, by published protocols."""
