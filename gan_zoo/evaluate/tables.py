"""Tables of evaluations as text."""

from collections.abc import Sequence

from gan_zoo.evaluate import measures, protocol
from gan_zoo.evaluate.judge import Evaluation, Result
from gan_zoo.util import command_line
from gan_zoo.util.errors import UserError


def table(evaluation: Evaluation) -> str:
    """Returns an evaluation as text: a line for each metric, with interval and noise floor, and the protocol."""
    rows = [("metric", "value", "95 % interval", "real images", "better")]
    for name, result in evaluation.metrics.items():
        digits = measures.MEASURES[name].digits
        rows.append(
            (
                evaluation.labels[name],
                f"{result.value:.{digits}f}",
                _interval(result, digits),
                "" if result.floor is None else f"{result.floor:.{digits}f}",
                measures.MEASURES[name].better.replace("none", ""),
            )
        )
    sizes = {result.floor_size for result in evaluation.metrics.values()} - {None}
    note = f"\nreal images: {sizes.pop()} of them in the place of samples, against the others" if sizes else ""
    return f"{evaluation.subject}\n{command_line.aligned(rows)}{note}\nprotocol: {evaluation.protocol.line()}"


def ranking(evaluations: Sequence[Evaluation]) -> str:
    """Returns several evaluations in one table.

    The best comes first, by the first metric that all of them have and that has a better and a worse.

    Raises:
        UserError: If their protocols differ, so that their numbers cannot be compared, or they share no metric.
    """
    protocol.check_comparable([e.protocol for e in evaluations], [e.subject for e in evaluations])
    names = [name for name in evaluations[0].metrics if all(name in e.metrics for e in evaluations)]
    if not names:
        raise UserError("the evaluations have no metric in common, so they cannot be ranked: evaluate them again.")
    first = next((name for name in names if measures.MEASURES[name].better != "none"), None)
    if first:
        lower = measures.MEASURES[first].better == "lower"
        evaluations = sorted(evaluations, key=lambda e: e.metrics[first].value * (1 if lower else -1))
    rows = [("", *(evaluations[0].labels[name] for name in names))]
    for evaluation in evaluations:
        cells = []
        for name in names:
            result, digits = evaluation.metrics[name], measures.MEASURES[name].digits
            interval = _interval(result, digits)
            cells.append(f"{result.value:.{digits}f}" + (f" ({interval})" if interval else ""))
        rows.append((evaluation.subject, *cells))
    floors = [evaluations[0].metrics[name].floor for name in names]
    if any(floor is not None for floor in floors):
        cells = (
            "" if f is None else f"{f:.{measures.MEASURES[n].digits}f}" for n, f in zip(names, floors, strict=True)
        )
        rows.append(("(real images)", *cells))
    return f"{command_line.aligned(rows)}\nprotocol: {evaluations[0].protocol.line()}"


def _interval(result: Result, digits: int) -> str:
    return "" if result.low is None else f"{result.low:.{digits}f} to {result.high:.{digits}f}"
