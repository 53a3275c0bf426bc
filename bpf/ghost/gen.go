// SPDX-License-Identifier: Apache-2.0

package ghost

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64 -no-global-types -go-package ghost -cflags "-O2 -g -mcpu=v3 -Wall -Wno-unused-function -fdebug-prefix-map=$PWD=. -I/usr/include/x86_64-linux-gnu" ghost ghost.bpf.c
