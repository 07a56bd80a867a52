"""Finds classes by name: variants on a command line, and the zoo's classes in `.keras` files.

Imports `util`, `data`, `gan` and `models`.
"""
