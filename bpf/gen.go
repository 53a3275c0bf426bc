// SPDX-License-Identifier: Apache-2.0

package bpf

// clang is pinned, and paths are kept out of the objects, so that building
// them again gives the same bytes.
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64 -go-package bpf -type entry -type event -type function -type task -type stale -type source -type period -type guard -type function_cpu -type memo -type steady -type steady_question -cflags "-O2 -g -mcpu=v3 -Wall -Wno-unused-function -fdebug-prefix-map=$PWD=. -I/usr/include/x86_64-linux-gnu" alps alps.bpf.c
