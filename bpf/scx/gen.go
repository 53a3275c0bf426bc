// SPDX-License-Identifier: Apache-2.0

package scx

// One source, an object for each generation of the kernel's names (kernel.bpf.h).
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64 -no-global-types -go-package scx -cflags "-DAPI=612 -O2 -g -mcpu=v3 -Wall -Wno-unused-function -fdebug-prefix-map=$PWD=. -I/usr/include/x86_64-linux-gnu" scx612 scx.bpf.c
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64 -no-global-types -go-package scx -cflags "-DAPI=613 -O2 -g -mcpu=v3 -Wall -Wno-unused-function -fdebug-prefix-map=$PWD=. -I/usr/include/x86_64-linux-gnu" scx613 scx.bpf.c
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64 -no-global-types -go-package scx -cflags "-DAPI=701 -O2 -g -mcpu=v3 -Wall -Wno-unused-function -fdebug-prefix-map=$PWD=. -I/usr/include/x86_64-linux-gnu" scx701 scx.bpf.c
