"""Trains a GAN of the zoo: `python train.py --model=wgan_gp --dataset=celeb_a`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("gan_zoo.training", run_name="__main__")
