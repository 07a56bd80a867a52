"""Image quality: how near generated images are to real ones, with the protocol that each number depends on.

    python -m gan_zoo.evaluate --model=runs/wgan_gp-cifar10 --dataset=cifar10

    from gan_zoo import data
    from gan_zoo.evaluate import evaluate, find_features, open_subject, table

    source = data.open_source("cifar10")
    found = evaluate(open_subject("runs/wgan_gp-cifar10"), source, find_features(), metrics=["frechet", "kid"])
    print(table(found))
    found.metrics["frechet"].value

`features` has the networks, `measures` the list of metrics, and `protocol` what is recorded. The metrics themselves are
functions of arrays in `gan_zoo.metrics`.
"""

from gan_zoo.evaluate.features import Features, find_features
from gan_zoo.evaluate.judge import Evaluation, Judge, Result, evaluate, read, write
from gan_zoo.evaluate.measures import MEASURES, Measure
from gan_zoo.evaluate.protocol import Protocol
from gan_zoo.evaluate.subjects import Subject, of_model, open_subject
from gan_zoo.evaluate.tables import ranking, table

__all__ = [
    "MEASURES",
    "Evaluation",
    "Features",
    "Judge",
    "Measure",
    "Protocol",
    "Result",
    "Subject",
    "evaluate",
    "find_features",
    "of_model",
    "open_subject",
    "ranking",
    "read",
    "table",
    "write",
]
