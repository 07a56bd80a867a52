"""Files over HTTP, whole or not at all: what has its final name has the content that was asked for.

Until then a file is called .NAME.part. Where a connection or the process breaks off, the next request goes on from the
end of that file. Callers see to it that one process at a time fetches a file.
"""

import os
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from gan_zoo.errors import UserError
from gan_zoo.releases.files import File, matches

_CONNECT_TIMEOUT = 10.0
"""Seconds until a server must have taken the connection."""

_READ_TIMEOUT = 30.0
"""Seconds that a server may send nothing."""

_SLOWEST = 2**10
"""Bytes per second. Servers that send less are given up, however regularly they send."""

_ATTEMPTS = 4
_BACKOFF = 1.0
"""Seconds before the second attempt; doubled for each further one."""

_REDIRECTS = 5
_CHUNK = 2**16
_LARGE = 10 * 2**20
"""Bytes. The progress of larger files is shown on a terminal."""

_PASSING = {408, 425, 429, 500, 502, 503, 504}


def download(url: str, path: Path, expected: File) -> None:
    """Fetches a file and verifies it.

    Args:
        url: Of http or https. Redirects are followed, though never from https to http.
        path: Where it is put; missing folders are made.
        expected: Its content.

    Raises:
        UserError: If the server does not give it or gives another content, also when asked again.
        OSError: If it cannot be written.
    """
    import requests

    path.parent.mkdir(parents=True, exist_ok=True)
    # No file of an index has a name with a dot at its beginning, so that none is taken for another's part.
    partial = path.with_name(f".{path.name}.part")
    with requests.Session() as session:
        # Even where it is told not to follow them, requests reads the bodies of redirects, which need not end.
        session.get_redirect_target = lambda response: None
        _complete(session, url, partial, expected)
        if not matches(partial, expected):
            # What was there from before may have been damaged or of another file: once more, from its beginning.
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
    """The attempt may succeed when it is repeated; the message says what happened."""


def _complete(session, url: str, partial: Path, expected: File) -> None:
    """Makes attempts until `partial` has the expected size."""
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
        f"{expected.size} bytes that have come are kept: try again later, or give another mirror."
    )


def _append(session, url: str, partial: Path, expected: File) -> None:
    """One request, for what `partial` lacks."""
    import requests
    import urllib3

    have = partial.stat().st_size if partial.exists() else 0
    if have > expected.size:
        partial.unlink()
        have = 0
    if have == expected.size > 0:
        return
    try:
        # Compressed on the way, a file could neither be counted nor gone on with.
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with _get(session, url, headers) as response:
            if have and (response.status_code == 416 or _is_other_range(response, have)):
                partial.unlink()
                raise _BrokenOffError("the server did not go on where it was asked to")
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
            raise UserError(f"{_shown(first)} redirects to what is no address: give another mirror.") from None
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
    # None: wherever the output is no terminal.
    silent = None if expected.size > _LARGE else True
    with (
        partial.open("ab" if have else "wb") as file,
        tqdm(
            initial=have, total=expected.size, unit="B", unit_scale=True, desc=partial.stem[1:], disable=silent
        ) as bar,
    ):
        # Whatever has come, since a full chunk of a slow server could take for ever.
        while chunk := response.raw.read1(_CHUNK, decode_content=False):
            have += len(chunk)
            if have > expected.size:
                break
            file.write(chunk)
            bar.update(len(chunk))
            if time.monotonic() > deadline:
                raise _BrokenOffError(f"the server sends less than {_SLOWEST} bytes a second")
        file.flush()
        # Without this a power failure after the renaming can leave an empty file of the final name.
        os.fsync(file.fileno())
    if have > expected.size:
        partial.unlink()
        raise UserError(
            f"{_shown(url)} is larger than the {expected.size} bytes that the index gives: it is not the file that was "
            f"released. Give another mirror."
        )
    if have < expected.size:
        raise _BrokenOffError("the server has ended too early")


def _cause(error: BaseException) -> str:
    """The innermost of the errors that requests and urllib3 wrap in each other, which say little."""
    while (inner := next((arg for arg in error.args if isinstance(arg, BaseException)), error.__cause__)) is not None:
        error = inner
    return getattr(error, "strerror", None) or type(error).__name__


def _shown(url: str) -> str:
    """An address without the password that it may hold."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
