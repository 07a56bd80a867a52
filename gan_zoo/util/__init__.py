"""Utilities of all packages: errors, checks of arguments, files, seeds, pictures, the command line.

Imports no other package of gan_zoo.
"""
