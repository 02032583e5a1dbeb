"""A client of any OpenAI-compatible endpoint, on the ``openai`` package (extra ``llm``).

That is OpenAI, OpenRouter, Ollama, vLLM, llama.cpp's server, LM Studio, or a gateway to others.
"""

import email.utils
import json
import math
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from rlkit.design.clients import ClientError, Completion, EndpointError, Message, Usage
from rlkit.errors import UsageError, check_count, missing_extra

RETRIED = frozenset({408, 409, 429, *range(500, 600)})
REFUSED = {
    401: "the key is refused",
    403: "the key may not do this",
    404: "there is no such address or model",
}
SECRET = 8  # characters of the shortest key that is one: servers of one's own take any word


class Transient(ClientError):
    """A failure that may pass."""

    def __init__(self, message: str, after: float | None = None):
        super().__init__(message)
        self.after = after


@dataclass(frozen=True)
class Endpoint:
    """A model behind an OpenAI-compatible endpoint.

    Each question is one request, which never asks for several answers: endpoints differ in whether they heed
    that. Retries are its own and are counted. The whole of a request has a time limit, however slowly
    headers or an answer drip, and an answer a largest size.

    Attributes:
      model: its name there.
      base_url: address; None: the environment variable ``OPENAI_BASE_URL``, else OpenAI's.
      key: None: the environment variable ``OPENAI_API_KEY``; endpoints of one's own need none. White
        space around it is not part of it. It is never printed, recorded or part of an error; one of fewer
        than 8 characters is no secret and is left in what a model writes.
      timeout: seconds for one attempt.
      retries: attempts after the first, on 408, 409, 429, 5xx, time-outs, lost connections and answers that
        are none.
      wait: seconds before the first retry; doubled each time, with jitter; ``Retry-After`` is heeded.
      most_wait: longest of these waits; an endpoint that asks for more has failed.
      most_bytes: longest answer.
      sleep: what waits, for tests.
    """

    model: str
    base_url: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    timeout: float = 120.0
    retries: int = 4
    wait: float = 1.0
    most_wait: float = 60.0
    most_bytes: int = 512_000
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def __post_init__(self) -> None:
        if not self.model:
            raise UsageError(f"model={self.model!r}: expected the name that the endpoint gives the model")
        check_count("retries", self.retries, 0)
        check_count("most_bytes", self.most_bytes)
        for name in ("timeout", "wait", "most_wait"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name}={getattr(self, name)!r}: expected a number of seconds above 0")
        if urlsplit(self._address).scheme not in ("http", "https"):
            raise UsageError("base_url: expected an address that begins with http:// or https://")
        _ = self._key  # refused before anything is asked

    @property
    def _address(self) -> str:
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"

    @property
    def _key(self) -> str:
        name = "key" if self.key else "OPENAI_API_KEY"
        key = (self.key or os.environ.get("OPENAI_API_KEY") or "").strip()
        if not (key.isascii() and key.isprintable()):  # no header may hold it
            raise UsageError(f"{name}: expected a key of printable ASCII characters, on one line")
        return key

    @property
    def family(self) -> str:
        """Host of the endpoint, for a record of what was used: no path, no user, no key."""
        parts = urlsplit(self._address)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        max_tokens: int = 2048,
    ) -> Completion:
        """One answer; see :class:`rlkit.design.clients.Client`.

        An endpoint that refuses the schema is asked once more without it.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(message) for message in messages],
            "temperature": temperature,
            "seed": seed,
            "max_tokens": max_tokens,
        }
        if schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema},
            }
        jitter = random.Random(seed)
        pause, attempt = self.wait, 0
        while True:
            attempt += 1
            try:
                data = self._post(body)
                return completion_of(data, attempt, "response_format" in body)
            except _Refused as error:
                if "response_format" not in body:
                    raise ClientError(str(error)) from None
                del body["response_format"]
            except Transient as error:
                wait = pause * jitter.uniform(0.5, 1.5) if error.after is None else error.after
                if attempt > self.retries or wait > self.most_wait:
                    raise ClientError(f"{error}, in attempt {attempt}") from None
                self.sleep(wait)
                pause = min(2 * pause, self.most_wait / 1.5)

    def _post(self, body: Mapping[str, Any]) -> Any:
        """One attempt, which ends within its time."""
        key = self._key
        client = _openai().OpenAI(
            api_key=key or "none", base_url=self._address, timeout=self.timeout, max_retries=0
        )
        future: Future[bytes] = Future()

        def ask() -> None:
            try:
                future.set_result(self._read(client, body))
            except BaseException as error:
                future.set_exception(error)

        # What drips, headers too, keeps every read within its limit: the connection is closed under it.
        threading.Thread(target=ask, daemon=True).start()
        try:
            text = future.result(min(self.timeout, threading.TIMEOUT_MAX))
        except TimeoutError:
            raise Transient(f"no whole answer within {self.timeout:g} s") from None
        finally:
            client.close()
        try:
            data = json.loads(text.decode("utf-8", "replace"))
            return _blanked(data, key) if len(key) >= SECRET else data
        except (ValueError, RecursionError):
            raise Transient("the endpoint sent something that is not JSON") from None

    def _read(self, client: Any, body: Mapping[str, Any]) -> bytes:
        """What the endpoint sends. Of what libraries raise the kind alone is told: a text may hold keys."""
        openai = _openai()
        chunks, size = [], 0
        try:
            with client.chat.completions.with_streaming_response.create(**body) as response:
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > self.most_bytes:
                        raise ClientError(f"an answer of more than {self.most_bytes} bytes")
        except openai.APIStatusError as error:
            raise self._status(error) from None
        except openai.APITimeoutError:
            raise Transient(f"no answer within {self.timeout:g} s") from None
        except ClientError:
            raise
        except Exception as error:  # of the transport, whose package differs between versions of openai
            raise Transient(f"the connection failed ({type(error).__name__})") from None
        return b"".join(chunks)

    def _status(self, error: Any) -> Exception:
        status = int(error.status_code)
        if status in RETRIED:
            return Transient(f"the endpoint answered with status {status}", _after(error.response.headers))
        if status in REFUSED:
            return EndpointError(
                f"{self.family}: status {status}: {REFUSED[status]}; check OPENAI_API_KEY, the address and "
                f"the model {self.model!r}"
            )
        return _Refused(f"the endpoint refused the question with status {status}")


class _Refused(ClientError):
    """The endpoint does not take the question as it is."""


def _openai() -> Any:
    try:
        import openai
    except ImportError:
        raise missing_extra("a language model behind an endpoint", "openai", "llm") from None
    return openai


def _blanked(data: Any, key: str) -> Any:
    """JSON without the key. It is sought in what strings say: their text may write it in escapes."""
    if isinstance(data, str):
        return data.replace(key, "[key]")
    if isinstance(data, list):
        return [_blanked(item, key) for item in data]
    if isinstance(data, dict):
        return {_blanked(name, key): _blanked(item, key) for name, item in data.items()}
    return data


def _after(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks for: a number, or a date; None if it says neither."""
    text = headers.get("retry-after")
    if text is None:
        return None
    try:
        seconds = float(text)
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return None


def completion_of(data: Any, attempts: int, schema: bool) -> Completion:
    """The answer in what an endpoint sent."""
    try:
        choice = data["choices"][0]
        text = choice["message"]["content"] or ""
        reason = choice.get("finish_reason") or "stop"
        model = str(data.get("model") or "")
        usage = data.get("usage") or {}
        tokens = Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
        f"{text}{reason}{model}".encode()  # JSON may hold halves of characters, which no file can
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        raise Transient("the endpoint sent something that is not a chat completion") from None
    if not isinstance(text, str) or not isinstance(reason, str):
        raise Transient("the endpoint sent something that is not a chat completion")
    return Completion(text, tokens, model, reason, attempts, schema, data)
