"""Judges as small decision problems: an agent looks at answers and says which is better, or how good.

Generative reward models reason, call tools and then pronounce; bounded rewards of the judgement train them.
Here the reasoning is a few discrete actions, so that the agents of this toolkit are the judges.
"""
