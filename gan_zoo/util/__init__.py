"""What every package uses: errors, checks of arguments, files, seeds, pictures, the command line.

Imports no other package of gan_zoo.
"""
