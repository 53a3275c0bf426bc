# SPDX-License-Identifier: Apache-2.0
"""TF-IDF features of a small corpus: strings and dictionaries.

A round extracts the features of n * 10 documents (the artifact: n = 1). The
result is the number of features found.
"""
import math
import random

WORDS = [a + b + c for a in "bcdfg" for b in "aeiou" for c in "klmnp"]


def corpus(n, seed):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=60)) for _ in range(n)]


def features(documents):
    frequency, tables = {}, []
    for text in documents:
        table = {}
        for word in text.lower().split():
            table[word] = table.get(word, 0) + 1
        for word in table:
            frequency[word] = frequency.get(word, 0) + 1
        tables.append(table)
    found = 0
    for table in tables:
        size = sum(table.values())
        vector = {w: c / size * math.log(len(tables) / frequency[w]) for w, c in table.items()}
        found += len(vector)
    return found


def main(n, rounds):
    return sum(features(corpus(n * 10, r)) for r in range(rounds))
