"""Search that a reward model guides: beams, trees, paths in graphs; votes over what was found."""

from rlkit.prefs.search.beam import Beam, beam, greedy
from rlkit.prefs.search.graph import Graph, Path, child_values, graph, graph_problem, start_path
from rlkit.prefs.search.reading import Paths, best_node, path_stack, visit_counts
from rlkit.prefs.search.tree import Evaluation, Problem, Tree, TreeConfig, tree_search
from rlkit.prefs.search.votes import majority_vote

__all__ = [
    "Beam",
    "Evaluation",
    "Graph",
    "Path",
    "Paths",
    "Problem",
    "Tree",
    "TreeConfig",
    "beam",
    "best_node",
    "child_values",
    "graph",
    "graph_problem",
    "greedy",
    "majority_vote",
    "path_stack",
    "start_path",
    "tree_search",
    "visit_counts",
]
