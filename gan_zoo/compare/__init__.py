"""Comparison of training methods on a dataset with exact metrics, with several seeds for each method.

    python -m gan_zoo.compare --models=dcgan,wgan_gp,ragan --dataset=ring8 --seeds=5 --steps=5000

All methods get the same networks with the same initial weights, the same data and the same number of generator updates.
A second ranking compares them after equal training time. `settings` defines a comparison, `run` trains one method with
one seed, `worker` is a process that does runs, `runner` distributes the runs to workers and continues an interrupted
comparison, and `report` writes a page, a table and pictures of the results.
"""
