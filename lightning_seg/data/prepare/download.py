"""Downloading an archive: continued where it broke, and kept only with the right checksum."""

import shutil
import time
import warnings
from pathlib import Path

import pooch
import requests
import urllib3
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from lightning_seg.data.prepare.sources import Remote
from lightning_seg.errors import UserError
from lightning_seg.terminal import Bars

ATTEMPTS = 5  # a connection that breaks is taken up again so many times before the user is told
PAUSE = 1.0  # seconds before the second attempt, doubled each time
TIMEOUT = (15, 60)  # seconds to connect, and without a byte


def download(remote: Remote, folder: Path, page: str, console: Console) -> Path:
    """Download ``remote`` into ``folder``, or take the file that is already there with the right checksum.

    What a broken download left is continued, by this call or the next. A server whose TLS certificate cannot be
    verified is accepted only for a file whose SHA-256 is known, and this is said.

    Raises:
        UserError: the server cannot be reached or does not have the file, or the file is not the published one.
    """
    fetch = ResumingDownloader(folder / f"{remote.file}.part", console)
    try:
        try:
            path = _retrieve(remote, folder, fetch)
        except requests.exceptions.SSLError as error:
            if not remote.checksum.startswith("sha256:"):
                raise
            console.print(
                f"[yellow]The certificate of {urllib3.util.parse_url(remote.url).host} cannot be verified "
                f"({_cause(error)}). The file is downloaded all the same and accepted only if its SHA-256 is "
                f"{remote.checksum.removeprefix('sha256:')}.[/]"
            )
            fetch.verify_certificate = False
            path = _retrieve(remote, folder, fetch)
    except requests.exceptions.HTTPError as error:
        answer = error.response
        assert answer is not None  # raise_for_status always gives it
        raise UserError(
            f"{remote.url}: the server answers '{answer.status_code} {answer.reason}'; see whether "
            f"{page} names another address, download it there and run again with --from FILE."
        ) from error
    except requests.exceptions.RequestException as error:
        raise UserError(
            f"{remote.url}: the download broke off ({_cause(error)}); run the same command again to continue it."
        ) from error
    except ValueError as error:  # pooch's way to say that the checksum differs
        raise UserError(
            f"{remote.url}: what was downloaded is not the published file (its checksum is not {remote.checksum}), so "
            f"it was deleted; try again, or see {page}."
        ) from error
    return path


def _retrieve(remote: Remote, folder: Path, fetch: "ResumingDownloader") -> Path:
    logger = pooch.get_logger()
    logger.setLevel("WARNING")
    return Path(pooch.retrieve(remote.url, remote.checksum or None, remote.file, folder, downloader=fetch))


class ResumingDownloader:
    """A downloader for pooch that continues a partial file with HTTP range requests.

    Args:
        part: the partial file; it outlives a failure, so that the next attempt can continue it.
        console: where progress is shown.
    """

    def __init__(self, part: Path, console: Console) -> None:
        self.part = part
        self.console = console
        self.verify_certificate = True

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        """Download ``url`` into ``output_file`` (pooch then checks it).

        Raises:
            requests.RequestException: on refusal, or after several broken attempts.
        """
        with Bars(self.console, count=DownloadColumn(), further=[TransferSpeedColumn()]) as progress:
            for attempt in range(ATTEMPTS):
                try:
                    self._continue(url, progress)
                    break
                except requests.exceptions.SSLError:
                    raise
                except (
                    requests.exceptions.ConnectionError,
                    requests.exceptions.ChunkedEncodingError,
                    requests.exceptions.Timeout,
                ):
                    if attempt == ATTEMPTS - 1:
                        raise
                    time.sleep(PAUSE * 2**attempt)
        shutil.move(self.part, output_file)

    def _continue(self, url: str, progress: Progress) -> None:
        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)  # told in our own words
            response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT, verify=self.verify_certificate)
        with response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                self.part.unlink()  # longer than the file: not a part of it
                raise requests.exceptions.ConnectionError("the partial file was not a part of this file")
            response.raise_for_status()
            continued = response.status_code == requests.codes.partial_content
            length = response.headers.get("Content-Length")
            total = int(length) + (have if continued else 0) if length else None
            task = progress.add_task(Path(self.part.stem).name, total=total, completed=have if continued else 0)
            with self.part.open("ab" if continued else "wb") as file:
                for chunk in response.iter_content(1 << 16):
                    file.write(chunk)
                    progress.advance(task, len(chunk))
            progress.remove_task(task)
            if total is not None and self.part.stat().st_size < total:
                raise requests.exceptions.ConnectionError("the connection was cut")


def _cause(error: BaseException) -> str:
    """The innermost reason, without the layers around it."""
    while isinstance(error, requests.exceptions.RequestException | urllib3.exceptions.HTTPError):
        inner = getattr(error, "reason", None) or next(
            (part for part in reversed(error.args) if isinstance(part, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    return str(error) or type(error).__name__
