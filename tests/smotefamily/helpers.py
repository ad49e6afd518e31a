"""The functions, and what their rows are held to, by brute force."""

from __future__ import annotations

import numpy as np

from gpusmote import r

CALLS = {
    "SMOTE": lambda X, target, **kw: r.SMOTE(X, target, **kw),
    "type1": lambda X, target, **kw: r.BLSMOTE(X, target, method="type1", **kw),
    "type2": lambda X, target, **kw: r.BLSMOTE(X, target, method="type2", **kw),
    "ADAS": lambda X, target, **kw: r.ADAS(X, target, **kw),
}


def nearest(X, row, among, k):
    """The k nearest rows of ``among`` to ``row``, itself left out, ties to the first in X: by brute force."""
    among = np.array([i for i in sorted(among) if i != row])
    distance = np.zeros(len(among))
    for j in range(X.shape[1]):
        distance += (X[among, j] - X[row, j]) ** 2
    return among[np.argsort(distance, kind="stable")[:k]].tolist()


def gaps(X, row, base, neighbors):
    """Shares of the way from base to each neighbor at which ``row`` lies; neighbors off whose line it is left out."""
    found = {}
    for other in neighbors:
        step, way = X[other] - X[base], row - X[base]
        gap = step @ way / (step @ step) if step.any() else 0.0
        if np.allclose(way, gap * step, rtol=0, atol=1e-9 * (1 + np.abs(X).max())):
            found[other] = gap
    return found


def features(frame):
    return frame.iloc[:, :-1].to_numpy(np.float64)


def positions(X, orig_P):
    """Where the rows of orig_P stand in X, by index label."""
    return X.index.get_indexer(orig_P.index).tolist()


def foreign_rows(values, minority, K):
    """How many of the K nearest of all rows are no minority rows, for each minority row, in the order given."""
    return [sum(j not in minority for j in nearest(values, i, range(len(values)), K)) for i in minority]


def danger_rows(values, minority, C):
    own = {i: sum(j in minority for j in nearest(values, i, range(len(values)), C)) for i in minority}
    return [i for i in minority if own[i] > 0 and 2 * own[i] <= C]
