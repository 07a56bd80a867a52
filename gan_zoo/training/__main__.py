"""`python -m gan_zoo.training` trains like `train.py`."""

from gan_zoo.training import command

if __name__ == "__main__":
    command.run()
