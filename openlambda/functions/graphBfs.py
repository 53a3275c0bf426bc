# SPDX-License-Identifier: Apache-2.0
"""Breadth-first search over a scale-free graph of n vertices (the artifact: 100).

A round makes the graph and visits every vertex once.
"""
import random

import igraph


def main(n, rounds):
    total = 0
    for r in range(rounds):
        random.seed(r)
        graph = igraph.Graph.Barabasi(n, 10)
        vertices, _, _ = graph.bfs(0)
        total += len(vertices)
    return total
