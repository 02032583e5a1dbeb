"""Studies by name. Nothing is imported before it is asked for."""

from rlkit.registry import Entry, Table, load_target

STUDIES = Table(
    "study",
    {
        "emergence": Entry("rlkit.studies.emergence:study", "does emergence foretell and follow the reward?"),
        "interventions": Entry(
            "rlkit.studies.interventions:study", "does pushing emergence change learning?"
        ),
    },
)
"""Makers ``study(options) -> Study``; their argument's type says what the options are."""


def named(name: str) -> tuple[type, object]:
    """The class of a study's options, and its maker.

    Args:
      name: of the table, or ``"module:maker"``.

    Raises:
      UnknownNameError: no such study.
    """
    import typing

    maker = load_target(STUDIES[name].target)
    return typing.get_type_hints(maker)["options"], maker
