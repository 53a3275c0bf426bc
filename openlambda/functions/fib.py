# SPDX-License-Identifier: Apache-2.0
"""Fibonacci by plain recursion: integer arithmetic and calls.

n is the index (the artifact: 20 to 35). A round computes fib(n) once.
"""


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def main(n, rounds):
    total = 0
    for _ in range(rounds):
        total += fib(n)
    return total
