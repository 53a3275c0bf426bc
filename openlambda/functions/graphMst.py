# SPDX-License-Identifier: Apache-2.0
"""Minimum spanning tree of a scale-free graph of 2**n vertices (the artifact: 8 to 10).

A round makes the graph and its tree once.
"""
import random

import igraph


def main(n, rounds):
    total = 0
    for r in range(rounds):
        random.seed(r)
        graph = igraph.Graph.Barabasi(2**n, 5)
        total += len(graph.spanning_tree(None, False))
    return total
