"""A page that shows two clips side by side and takes the answer; served to this machine alone."""

import hmac
import json
import re
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.asking.answers import (
    AnsweredError,
    Questions,
    UnknownPairError,
    answer,
    answered,
    picture,
)

_MOST = 4096  # bytes of an answer
_CLIP = re.compile(r"/clip/(\d{1,9})/(first|second)\.gif")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no news."""


class Page:
    """The questions of a folder on a page, until they are all answered.

    It listens on the loopback interface, and answers only who knows the token that is in :attr:`url`: other
    pages that are open in the browser do not. Whoever serves it should hold the folder's lock
    (:func:`rlkit.experiment.runs.store.locked`).

    Args:
      questions: the folder.
      port: of the page; 0 takes a free one.
      by: who answers, kept with each answer.

    Raises:
      UsageError: the port cannot be taken.
    """

    def __init__(self, questions: Questions, port: int = 0, by: str = "person"):
        self.questions, self.by = questions, by
        self.token = secrets.token_urlsafe(16)
        self.done = threading.Event()
        self._one = threading.Lock()  # answers are checked and written one at a time
        try:
            self._server = _Server(("127.0.0.1", port), _handler(self))
        except (OSError, OverflowError) as error:
            raise UsageError(f"port={port}: it cannot be taken ({error}); 0 takes a free one") from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        if self.state()["next"] is None:
            self.done.set()

    @property
    def url(self) -> str:
        """Where the page is, with the token."""
        return f"http://127.0.0.1:{self._server.server_port}/#{self.token}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """How the page may be called: any other name is a page elsewhere that points here."""
        return tuple(f"{name}:{self._server.server_port}" for name in ("127.0.0.1", "localhost"))

    def __enter__(self) -> "Page":
        self._thread.start()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all questions are answered, or for so long; returns whether they are."""
        return self.done.wait(seconds)

    def state(self) -> dict[str, Any]:
        """How far the answers are, and the next question."""
        given = answered(self.questions)
        left = [pair for pair in range(self.questions.size) if pair not in given]
        return {
            "task": self.questions.env.spec.task,
            "pairs": self.questions.size,
            "answered": len(given),
            "next": left[0] if left else None,
        }

    def take(self, pair: Any, said: Any) -> dict[str, Any]:
        """Keep an answer; the state after it."""
        with self._one:
            answer(self.questions, pair, said, self.by)
            state = self.state()
        if state["next"] is None:
            self.done.set()
        return state


def _handler(page: Page) -> type[BaseHTTPRequestHandler]:
    """The class that answers requests, as the standard library wants it."""

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "rlkit", ""
        timeout = 30  # a connection that says nothing is closed

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are no news."""

        def do_GET(self) -> None:
            self._answer(self._get)

        def do_POST(self) -> None:
            self._answer(self._post)

        def _answer(self, how: Callable[[], None]) -> None:
            """Whatever happens is said in a sentence, to the page."""
            try:
                how()
            except OSError:  # who asked went away
                self.close_connection = True
            except UnknownPairError as error:
                self._refuse(404, str(error), page.state())
            except AnsweredError as error:
                self._refuse(409, str(error), page.state())
            except UsageError as error:
                self._refuse(400, str(error))
            except RlkitError as error:  # the disk: nothing was kept, and the page says so
                self._refuse(500, str(error))
            except Exception as error:
                self._refuse(500, f"{type(error).__name__}: {error}; this is a defect of rlkit")

        def _get(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/" and self._is_here():
                html = (Path(__file__).parent / "page.html").read_bytes()
                return self._send(200, html, "text/html; charset=utf-8")
            if not self._may(query.removeprefix("token=")):
                return self._refuse(
                    403, "this page was opened without its token; open the address as it was printed"
                )
            if path == "/state":
                return self._json(200, page.state())
            found = _CLIP.fullmatch(path)
            if found is None or int(found[1]) >= page.questions.size:
                return self._refuse(404, f"there is nothing at {path[:80]}")
            return self._send(200, picture(page.questions, int(found[1]), found[2]), "image/gif")

        def _post(self) -> None:
            if not self._may(""):
                return self._refuse(
                    403, "this page was opened without its token; open the address as it was printed"
                )
            if self.path != "/answer":
                return self._refuse(404, f"there is nothing at {self.path[:80]}")
            said = self._body()
            if said is None:
                return self._refuse(400, 'expected {"pair": number, "answer": text}')
            return self._json(200, page.take(said.get("pair"), said.get("answer")))

        def _body(self) -> dict[str, Any] | None:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or len(length) > 9 or int(length) > _MOST:
                self.close_connection = True
                return None
            try:
                data = json.loads(self.rfile.read(int(length)))
            except (ValueError, RecursionError):
                return None
            return data if isinstance(data, dict) else None

        def _is_here(self) -> bool:
            return self.headers.get("Host") in page.hosts

        def _may(self, token: str) -> bool:
            given = self.headers.get("X-Token") or token
            return self._is_here() and hmac.compare_digest(given.encode(), page.token.encode())

        def _refuse(self, code: int, why: str, state: Any = None) -> None:
            self._json(code, {"error": why} | ({} if state is None else {"state": state}))

        def _json(self, code: int, data: Any) -> None:
            self._send(code, json.dumps(data).encode(), "application/json")

        def _send(self, code: int, data: bytes, kind: str) -> None:
            self.send_response(code)
            for name, value in (
                ("Content-Type", kind),
                ("Content-Length", str(len(data))),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "no-referrer"),
                ("Content-Security-Policy", "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    return Handler


def ask(questions: Questions, port: int = 0, by: str = "person", say: Callable[[str], None] = print) -> bool:
    """Serve the page until everything is answered or the person interrupts; returns whether all is.

    Args:
      questions: the folder.
      port: of the page; 0 takes a free one.
      by: who answers.
      say: gets the page's address, in a sentence.
    """
    from rlkit.experiment.runs import store

    with store.locked(questions.folder), Page(questions, port, by) as page:
        if page.done.is_set():
            return True
        say(f"{page.state()['pairs'] - page.state()['answered']} questions at {page.url} (Ctrl-C ends)")
        try:
            while not page.wait(0.5):  # in turns, so that an interrupt is heard
                pass
            threading.Event().wait(1.0)  # the page still has to be told
        except KeyboardInterrupt:
            return False
        return True
