"""Environments whose rewards may read only what the agent can see."""

import dataclasses
from dataclasses import dataclass

from rlkit.envs.wrapping import Wrapper
from rlkit.reads import private_features
from rlkit.types import Environment, EnvSpec, FeatureSpec


@dataclass(frozen=True)
class _ForbidPrivileged(Wrapper):
    @property
    def spec(self) -> EnvSpec:
        inner = self.env.spec
        allowed = tuple(feature for feature in inner.features if feature.observable)
        forbidden = tuple(feature.name for feature in inner.features if not feature.observable)
        return dataclasses.replace(inner, features=allowed, forbidden=(*inner.forbidden, *forbidden))

    @property
    def private_features(self) -> tuple[FeatureSpec, ...]:
        hidden = tuple(feature for feature in self.env.spec.features if not feature.observable)
        return (*private_features(self.env), *hidden)  # its own reward still reads them


def forbid_privileged(env: Environment) -> Environment:
    """The same environment, where no reward may read a feature that the agent cannot see.

    For rewards that must be computable on a robot. What the environment itself pays does not change. An agent
    built with a reward that reads a privileged feature is an error that names it.
    """
    return _ForbidPrivileged(env)
