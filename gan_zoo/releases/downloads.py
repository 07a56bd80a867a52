"""Downloads of files over HTTP. A file with its final name is complete and has the expected content.

Until then a file is named .NAME.part. If a connection or the process breaks off, the next request continues from the
end of that file. Callers ensure that only one process at a time downloads a file.
"""

import os
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from gan_zoo.releases.files import File, matches
from gan_zoo.util.errors import UserError

_CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection to a server."""

_READ_TIMEOUT = 30.0
"""Longest time in seconds in which a server may send nothing."""

_SLOWEST = 2**10
"""Lowest rate in bytes per second. Downloads from slower servers are stopped, even if they send regularly."""

_ATTEMPTS = 4
_BACKOFF = 1.0
"""Seconds before the second attempt; doubled for each further attempt."""

_REDIRECTS = 5
_CHUNK = 2**16
_LARGE = 10 * 2**20
"""Size in bytes above which the progress is shown on a terminal."""

_PASSING = {408, 425, 429, 500, 502, 503, 504}


def download(url: str, path: Path, expected: File) -> None:
    """Downloads a file and verifies it.

    Args:
        url: An http or https address. Redirects are followed, but never from https to http.
        path: Path of the file; missing folders are created.
        expected: The expected content.

    Raises:
        UserError: If the server does not provide it or sends another content, also after retries.
        OSError: If it cannot be written.
    """
    import requests

    path.parent.mkdir(parents=True, exist_ok=True)
    # No name in an index begins with a dot, so a partial file cannot be confused with another file.
    partial = path.with_name(f".{path.name}.part")
    with requests.Session() as session:
        # Even if it does not follow them, requests reads the bodies of redirects, which may be endless.
        session.get_redirect_target = lambda response: None
        _complete(session, url, partial, expected)
        if not matches(partial, expected):
            # The partial file may have been damaged or from another file: download again from the beginning.
            partial.unlink()
            _complete(session, url, partial, expected)
    if not matches(partial, expected):
        partial.unlink()
        raise UserError(
            f"{_shown(url)} has another SHA-256 than the index gives, and was not kept: it is damaged, or not the file "
            f"that was released. Give another mirror."
        )
    partial.replace(path)


class _BrokenOffError(Exception):
    """A failed attempt that may succeed when repeated. The message says what happened."""


def _complete(session, url: str, partial: Path, expected: File) -> None:
    """Repeats attempts until `partial` has the expected size."""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_BACKOFF * 2 ** (attempt - 1))
        try:
            _append(session, url, partial, expected)
            return
        except _BrokenOffError as error:
            problem = error
    have = partial.stat().st_size if partial.exists() else 0
    raise UserError(
        f"{_shown(url)} cannot be downloaded: {problem}, at the last of {_ATTEMPTS} attempts. The {have} of "
        f"{expected.size} bytes that have arrived are kept: try again later, or give another mirror."
    )


def _append(session, url: str, partial: Path, expected: File) -> None:
    """Makes one request for the missing part of `partial`."""
    import requests
    import urllib3

    have = partial.stat().st_size if partial.exists() else 0
    if have > expected.size:
        partial.unlink()
        have = 0
    if have == expected.size > 0:
        return
    try:
        # With compression during the transfer, bytes could not be counted and a download could not be continued.
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with _get(session, url, headers) as response:
            if have and (response.status_code == 416 or _is_other_range(response, have)):
                partial.unlink()
                raise _BrokenOffError("the server did not continue at the requested byte")
            _require_success(response, url, resumed=have > 0)
            have = have if response.status_code == 206 else 0
            _receive(response, url, partial, have, expected)
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        what = "connected" if isinstance(error, requests.ConnectTimeout) else "sent anything"
        raise _BrokenOffError(f"the server has not {what} in time") from error
    except (requests.ConnectionError, urllib3.exceptions.HTTPError) as error:
        raise _BrokenOffError(f"the connection broke ({_cause(error)})") from error
    except requests.RequestException as error:
        raise UserError(f"{_shown(url)} cannot be downloaded ({type(error).__name__}): give another mirror.") from error


def _get(session, url: str, headers: dict[str, str]):
    first = url
    for _ in range(_REDIRECTS + 1):
        timeout = (_CONNECT_TIMEOUT, _READ_TIMEOUT)
        response = session.get(url, headers=headers, stream=True, timeout=timeout, allow_redirects=False)
        if not response.is_redirect:
            return response
        response.close()
        old = urlsplit(url).scheme
        try:
            url = urljoin(url, response.headers["Location"])
            new, _ = urlsplit(url).scheme, urlsplit(url).port
        except ValueError:
            raise UserError(f"{_shown(first)} redirects to an invalid address: give another mirror.") from None
        allowed = ("https",) if old == "https" else ("http", "https")
        if new not in allowed:
            raise UserError(
                f"{_shown(first)} redirects to {_shown(url)}, and from {old} only redirects to {' or '.join(allowed)} "
                f"are followed. Give another mirror."
            )
    raise UserError(f"{_shown(first)} redirects more than {_REDIRECTS} times: give another mirror.")


def _is_other_range(response, have: int) -> bool:
    return response.status_code == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _require_success(response, url: str, *, resumed: bool) -> None:
    status = response.status_code
    if status in _PASSING:
        raise _BrokenOffError(f"the server answers {status}")
    if status != 200 and not (resumed and status == 206):
        raise UserError(f"{_shown(url)} cannot be downloaded: the server answers {status}. Give another mirror.")


def _receive(response, url: str, partial: Path, have: int, expected: File) -> None:
    from tqdm import tqdm

    deadline = time.monotonic() + _READ_TIMEOUT + (expected.size - have) / _SLOWEST
    # None hides the progress if the output is not a terminal.
    silent = None if expected.size > _LARGE else True
    with (
        partial.open("ab" if have else "wb") as file,
        tqdm(
            initial=have, total=expected.size, unit="B", unit_scale=True, desc=partial.stem[1:], disable=silent
        ) as bar,
    ):
        # Reads what has arrived, because a full chunk from a slow server could take very long.
        while chunk := response.raw.read1(_CHUNK, decode_content=False):
            have += len(chunk)
            if have > expected.size:
                break
            file.write(chunk)
            bar.update(len(chunk))
            if time.monotonic() > deadline:
                raise _BrokenOffError(f"the server sends less than {_SLOWEST} bytes a second")
        file.flush()
        # Without this, a power failure after the renaming can leave an empty file with the final name.
        os.fsync(file.fileno())
    if have > expected.size:
        partial.unlink()
        raise UserError(
            f"{_shown(url)} is larger than the {expected.size} bytes that the index gives: it is not the file that was "
            f"released. Give another mirror."
        )
    if have < expected.size:
        raise _BrokenOffError("the server stopped too early")


def _cause(error: BaseException) -> str:
    """Returns the innermost, informative error of those that requests and urllib3 wrap in each other."""
    while (inner := next((arg for arg in error.args if isinstance(arg, BaseException)), error.__cause__)) is not None:
        error = inner
    return getattr(error, "strerror", None) or type(error).__name__


def _shown(url: str) -> str:
    """Returns an address without the password that it may contain."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
