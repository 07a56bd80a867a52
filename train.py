"""Trains a GAN of the zoo: `python train.py --model=wgan_gp --dataset=celeb_a`."""

from gan_zoo.training import command

if __name__ == "__main__":
    command.run()
