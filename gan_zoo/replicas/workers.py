"""Workers, the processes that train one model: their addresses, their meeting at the start, and lost workers.

TensorFlow's own start waits for missing workers without a limit and ignores signals meanwhile. It also accepts workers
that were started with other flags. So the workers first meet in Python, on the ports that TensorFlow will use.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import re
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any

from gan_zoo.util.errors import UserError, WorkerLost

_GREETING = "gan_zoo worker"
_PAUSE = 0.2
"""Seconds between two attempts to reach the first worker."""
_START = 120
"""Seconds that TensorFlow has to connect the workers after they have met."""
_LONGEST = 65536
"""Maximum length of a message in bytes."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """All workers, and the index of this one.

    Attributes:
        addresses: host:port of every worker, with the chief first.
        index: This worker's index in `addresses`.
        tf_config: The value of the environment variable TF_CONFIG for TensorFlow.
    """

    addresses: tuple[str, ...]
    index: int
    tf_config: str

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the chief, which writes files."""
        return self.index == 0


def of_flags(workers: str, worker_index: int | None) -> Cluster:
    """The cluster that `--workers` and `--worker_index` describe.

    Raises:
        UserError: If the flags are not valid.
    """
    addresses = workers.split(",")
    for address in addresses:
        host, _, port = address.rpartition(":")
        number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0
        if not host or not 0 < number < 2**16 or addresses.count(address) > 1:
            raise UserError(
                f"--workers: {address!r} must be host:port, with a port from 1 to 65535, and appear only once."
            )
    if worker_index is None or not 0 <= worker_index < len(addresses):
        raise UserError(
            f"--worker_index must be this worker's place in --workers, from 0 to {len(addresses) - 1}, not "
            f"{worker_index}."
        )
    task = {"type": "worker", "index": worker_index}
    return Cluster(tuple(addresses), worker_index, json.dumps({"cluster": {"worker": addresses}, "task": task}))


def of_environment(tf_config: str) -> Cluster:
    """The cluster that a TF_CONFIG describes: workers, and optionally a chief before them.

    Raises:
        UserError: If it does not describe a cluster.
    """
    wanted = (
        'TF_CONFIG must be JSON like {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": '
        '0}}, perhaps with one "chief"'
    )
    try:
        config = json.loads(tf_config)
        cluster, task = config["cluster"], config["task"]
        jobs = {job: [str(address) for address in addresses] for job, addresses in cluster.items()}
        chiefs, others = jobs.pop("chief", []), jobs.pop("worker", [])
        kind, index = task["type"], int(task["index"])
        places = {"chief": range(len(chiefs)), "worker": range(len(others))}[kind]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{wanted} ({type(error).__name__}: {error}).") from None
    if jobs or len(chiefs) > 1 or index not in places:
        what = f"it has {', '.join(sorted(jobs))}" if jobs else f"there is no {kind} {index}, or more than one chief"
        raise UserError(f"{wanted}: {what}.")
    place = index + (len(chiefs) if kind == "worker" else 0)
    try:
        of_flags(",".join([*chiefs, *others]), place)
    except UserError as error:
        raise UserError(f"TF_CONFIG: {error}") from None
    return Cluster((*chiefs, *others), place, tf_config)


def meet(cluster: Cluster, agreed: dict[str, Any], timeout: float) -> None:
    """Waits until all workers have connected, and checks that they were started for the same run.

    Args:
        cluster: The workers.
        agreed: Settings that must be the same for all workers; the values have JSON types.
        timeout: Maximum number of seconds to wait.

    Raises:
        WorkerLost: If some workers have not connected by then.
        UserError: If the port of this worker is not available, or if a worker was started with other settings.
    """
    deadline = time.monotonic() + timeout
    with _own_port(cluster, deadline) as server:
        if cluster.is_chief:
            _await_workers(cluster, agreed, server, deadline, timeout)
        else:
            _await_chief(cluster, agreed, deadline, timeout)


@contextlib.contextmanager
def limit_connecting_time() -> Iterator[None]:
    """Context that limits the time of TensorFlow's own start.

    If a worker is lost during the start, TensorFlow waits forever and ignores all signals. SIGALRM then ends the
    process.
    """
    previous = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_START)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@contextlib.contextmanager
def detect_lost_workers() -> Iterator[None]:
    """Context that converts TensorFlow's errors about a lost worker to `WorkerLost`.

    Raises:
        WorkerLost: If a worker is lost.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        always = tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError
        text = str(error)
        if not isinstance(error, always) and not re.search("remote target|heartbeat|Collective ops is aborted", text):
            raise
        raise WorkerLost(
            f"{_describe_lost(text)}, which has ended or hangs, so this worker stops. The output of the lost worker "
            f"says why. To continue from the last checkpoint, start all workers again with the same commands."
        ) from error


def _describe_lost(message: str) -> str:
    """Returns the start of an error message, with the names of the lost workers if TensorFlow's error has them."""
    silent = message.partition("stopped sending heartbeats")[2].partition("The tasks have crashed")[0]
    task = r"/job:(\w+)/replica:\d+/task:(\d+)"
    # Workers forward errors to each other. The innermost error is the first that happened.
    blamed = re.findall(task, silent) or re.findall(f"remote target {task}", message)[-1:]
    names = ", ".join(f"{job} {index}" for job, index in dict.fromkeys(blamed))
    return f"Lost {names}" if names else "Lost another worker"


class Communication:
    """Exchange of values between workers, between training steps.

    Args:
        strategy: Any `tf.distribute` strategy. With a strategy of one process, nothing is sent.
    """

    def __init__(self, strategy):
        import tensorflow as tf

        self._strategy = strategy
        self._alone = not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self._sum = tf.function(self._summed)

    def any(self, mine: bool) -> bool:
        """Whether `mine` is true on any worker. All workers must call this at the same step."""
        if self._alone:
            return mine
        import tensorflow as tf

        return bool(self._sum(tf.constant(float(mine))).numpy() > 0)

    def of_chief(self, value: int) -> int:
        """The chief's `value`, on every worker."""
        if self._alone:
            return value
        import tensorflow as tf

        return int(self._from_chief([tf.constant(value, tf.int64)])[0].numpy())

    def share(self, variables: Sequence[Any]) -> None:
        """Assigns the chief's values to Keras variables on every worker."""
        if self._alone:
            return
        import tensorflow as tf

        send = tf.function(lambda: self._from_chief([tf.convert_to_tensor(variable.value) for variable in variables]))
        for variable, value in zip(variables, send(), strict=True):
            variable.assign(tf.cast(value, variable.dtype))

    def _from_chief(self, values):
        import tensorflow as tf

        def part(*mine):
            first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
            # Collectives do not support small integer types. Sums with zeros are exact.
            wide = [v if v.dtype.is_floating else tf.cast(v, tf.int64) for v in mine]
            shares = [tf.where(first, v, tf.zeros_like(v)) for v in wide]
            return [tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, s) for s in shares]

        return [self._strategy.experimental_local_results(v)[0] for v in self._strategy.run(part, args=tuple(values))]

    def _summed(self, value):
        import tensorflow as tf

        def on_replica(mine):
            there = tf.identity(mine)  # copies the argument to the replica's device
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, there)

        total = self._strategy.run(on_replica, args=(value,))
        return self._strategy.experimental_local_results(total)[0]


@contextlib.contextmanager
def _own_port(cluster: Cluster, deadline: float) -> Iterator[socket.socket]:
    """Context that listens on this worker's port; waits until an earlier process of this run has released it.

    Raises:
        UserError: If the port is not available.
    """
    port = int(cluster.addresses[cluster.index].rpartition(":")[2])
    while True:
        server = socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if socket.has_dualstack_ipv6():
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            server.bind(("", port))
            break
        except OSError as error:
            server.close()
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise UserError(
                    f"--workers: port {port} of this machine cannot be used ({error.strerror}): give worker "
                    f"{cluster.index} another one."
                ) from None
            time.sleep(_PAUSE)
    with server:
        server.listen(len(cluster.addresses))
        yield server


def _await_workers(cluster: Cluster, agreed: dict, server: socket.socket, deadline: float, timeout: float) -> None:
    """The chief's part of `meet`: waits for messages of all other workers, then tells them to begin."""
    heard: dict[int, socket.socket] = {}
    digests = _digests(agreed)
    with contextlib.ExitStack() as stack:
        while missing := sorted({*range(1, len(cluster.addresses))} - heard.keys()):
            server.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                connection, _ = server.accept()
            except TimeoutError:
                raise _missing_workers(cluster, missing, timeout) from None
            stack.enter_context(connection)
            theirs = _receive(connection, min(deadline, time.monotonic() + 5))
            index, settings = theirs.get("index"), theirs.get("agreed")
            expected = theirs.get(_GREETING) == list(cluster.addresses) and isinstance(settings, dict)
            if not expected or index not in range(1, len(cluster.addresses)):
                continue  # a connection from another program
            if settings != digests:
                names = sorted(n for n in {*settings, *digests} if settings.get(n) != digests.get(n))
                which = ", ".join(names)
                sentence = f"worker {index} was started with other settings than worker 0: {which} must be the same."
                for other in [*heard.values(), connection]:
                    with contextlib.suppress(OSError):  # that worker has ended meanwhile and needs no answer
                        _send(other, {"refused": sentence})
                raise UserError(sentence)
            heard[index] = connection
            heard = {i: c for i, c in heard.items() if not _is_closed(c)}
        for connection in heard.values():
            with contextlib.suppress(OSError):  # TensorFlow's own start will detect that the worker is missing
                _send(connection, {"begin": True})


def _await_chief(cluster: Cluster, agreed: dict, deadline: float, timeout: float) -> None:
    """Another worker's part of `meet`: connects to the chief until it answers."""
    host, _, port = cluster.addresses[0].rpartition(":")
    greeting = {_GREETING: list(cluster.addresses), "index": cluster.index, "agreed": _digests(agreed)}
    while (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(OSError):  # the chief does not listen yet, or has ended
            with socket.create_connection((host.strip("[]"), int(port)), timeout=min(left, 10)) as connection:
                _send(connection, greeting)
                answer = _receive(connection, deadline)
            if "refused" in answer:
                raise UserError(str(answer["refused"]))
            if "begin" in answer:
                return
        time.sleep(_PAUSE)
    raise _missing_workers(cluster, [0], timeout)


def _is_closed(connection: socket.socket) -> bool:
    """Returns whether the other side has closed the connection. It sends nothing more before it does."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(10)


def _missing_workers(cluster: Cluster, missing: list[int], timeout: float) -> WorkerLost:
    who = ", ".join(f"{index} ({cluster.addresses[index]})" for index in missing)
    return WorkerLost(
        f"Worker {cluster.index} has waited {timeout:g} seconds for {'workers' if missing[1:] else 'worker'} {who}, "
        f"without success: start all workers, check that they can connect to each other, or wait longer with "
        f"--worker_timeout."
    )


def _digests(agreed: dict[str, Any]) -> dict[str, str]:
    """Returns short hashes of the settings by name, which do not reveal paths."""
    return {n: hashlib.sha256(json.dumps(v, sort_keys=True).encode()).hexdigest()[:16] for n, v in agreed.items()}


def _send(connection: socket.socket, message: dict) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _receive(connection: socket.socket, deadline: float) -> dict:
    """Receives one message; returns an empty one if it is not valid or does not arrive in time."""
    data = b""
    try:
        while not data.endswith(b"\n") and len(data) < _LONGEST:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            part = connection.recv(4096)
            if not part:
                break
            data += part
        message = json.loads(data)
    except (OSError, ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
