"""Users who want different things: prototypes, vectors of users, estimates from few answers."""

from rlkit.prefs.users.clusters import Clusters, kmeans, nearest_in_cluster
from rlkit.prefs.users.linear import Taste, blend_scores, fit_taste, nearest_prototype, taste_log_likelihood
from rlkit.prefs.users.prototypes import PrototypeUsers, prototype_drift, prototype_loss, unit_prototypes

__all__ = [
    "Clusters",
    "PrototypeUsers",
    "Taste",
    "blend_scores",
    "fit_taste",
    "kmeans",
    "nearest_in_cluster",
    "nearest_prototype",
    "prototype_drift",
    "prototype_loss",
    "taste_log_likelihood",
    "unit_prototypes",
]
