"""Which method to choose: several of them on one dataset with a known answer, several seeds each.

    python -m gan_zoo.compare --models=dcgan,wgan_gp,ragan --dataset=ring8 --seeds=5 --steps=5000

All get the same networks with the same initial weights, the same data and the same number of generator updates; another
ranking is that of equal training time. `settings` says what a comparison is, `run` trains one method with one seed,
`worker` does so in a process of its own, `runner` gives the runs to workers and takes up where it was stopped, and
`report` makes a page, a table and pictures of what they found.
"""
