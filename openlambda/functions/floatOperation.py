# SPDX-License-Identifier: Apache-2.0
"""Floating-point arithmetic: n sines, cosines and roots (the artifact: 100000).

A round goes over all n once. The result is the sum of the roots, which depends
on every term.
"""
import math


def main(n, rounds):
    total = 0.0
    for _ in range(rounds):
        for i in range(n):
            s, c = math.sin(i), math.cos(i)
            total += math.sqrt(s * s + c * c)
    return round(total)
