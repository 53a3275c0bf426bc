# SPDX-License-Identifier: Apache-2.0
"""PageRank of a scale-free graph of 2**n vertices (the artifact: 8 to 10).

A round makes the graph and ranks it once. The ranks sum to 1, so the total is
the number of rounds.
"""
import random

import igraph


def main(n, rounds):
    total = 0.0
    for r in range(rounds):
        random.seed(r)
        graph = igraph.Graph.Barabasi(2**n, 5)
        total += sum(graph.pagerank())
    return round(total)
