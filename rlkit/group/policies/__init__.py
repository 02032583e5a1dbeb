"""Policies of tokens: the protocol, tables, a decoder, published weights, and writing with them."""

from rlkit.group.policies.adapters import lora, train_only, with_params
from rlkit.group.policies.decoder import DecoderConfig, decoder
from rlkit.group.policies.protocol import Cache, TokenPolicy, check_policy, from_flax
from rlkit.group.policies.sampling import Sampling, Written, write
from rlkit.group.policies.scoring import Scores, score
from rlkit.group.policies.tables import table

__all__ = [
    "Cache",
    "DecoderConfig",
    "Sampling",
    "Scores",
    "TokenPolicy",
    "Written",
    "check_policy",
    "decoder",
    "from_flax",
    "lora",
    "score",
    "table",
    "train_only",
    "with_params",
    "write",
]
