// SPDX-License-Identifier: Apache-2.0

package ghost

// One source, an object for each generation of the kernel's names.
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64 -no-global-types -go-package ghost -cflags "-DAPI=612 -O2 -g -mcpu=v3 -Wall -Wno-unused-function -fdebug-prefix-map=$PWD=. -I/usr/include/x86_64-linux-gnu" ghost612 ghost.bpf.c
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64 -no-global-types -go-package ghost -cflags "-DAPI=613 -O2 -g -mcpu=v3 -Wall -Wno-unused-function -fdebug-prefix-map=$PWD=. -I/usr/include/x86_64-linux-gnu" ghost613 ghost.bpf.c
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target amd64 -no-global-types -go-package ghost -cflags "-DAPI=619 -O2 -g -mcpu=v3 -Wall -Wno-unused-function -fdebug-prefix-map=$PWD=. -I/usr/include/x86_64-linux-gnu" ghost619 ghost.bpf.c
