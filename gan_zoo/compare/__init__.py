"""Comparison of training methods on one dataset, with several seeds for each method.

    python -m gan_zoo.compare --models=dcgan,wgan_gp,ragan --dataset=ring8 --seeds=5 --steps=5000
    python -m gan_zoo.compare --models=dcgan,wgan_gp,ragan --dataset=cifar10 --metrics=frechet,kid --seeds=3

All methods get the same networks with the same initial weights, the same data and the same number of generator updates.
A second ranking compares them after equal training time. Points and `color_mnist` have exact metrics. Other images are
measured by `gan_zoo.evaluate`, by one protocol.

`settings` defines a comparison, `measuring` says what is measured, `run` trains one method with one seed, `worker` is a
process that does runs, `runner` distributes the runs to workers and continues an interrupted comparison, and `report`
writes a page, a table and pictures of the results.
"""
