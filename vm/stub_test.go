// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// stubBase is where the stub kernel is loaded: its code, then its message, then
// its counter.
const stubBase = 0x100000

// stubCounter is the address of the stub kernel's counter.
const stubCounter = stubBase + 0x200

// stubHello is the first line on the stub kernel's console.
const stubHello = "stub kernel: " + probeGoal + "\n"

// stubKernel writes a kernel of some hundred bytes that QEMU boots by the PVH
// protocol: it starts in 32-bit protected mode without paging. It prints
// stubHello on the first serial port and resets the machine, which ends QEMU; or
// it counts in memory for ever and prints the last digit of each number, in
// base 8.
//
// It needs so little of a processor that even a KVM in software runs it, where
// Linux does not boot.
func stubKernel(t *testing.T, counts bool) string {
	const hello = stubBase + 0x100
	var code bytes.Buffer
	emit := func(b ...byte) { code.Write(b) }
	address := func(a uint32) { code.Write(binary.LittleEndian.AppendUint32(nil, a)) }
	outSerial := func() { emit(0x66, 0xba, 0xf8, 0x03, 0xee) } // mov $0x3f8, %dx; out %al, (%dx)

	emit(0xfc, 0xbe) // cld; mov $hello, %esi
	address(hello)
	emit(0xac, 0x84, 0xc0, 0x74, 7) // next: lodsb; test %al, %al; jz done
	outSerial()
	emit(0xeb, 0xf4) // jmp next; done:
	if counts {
		loop := code.Len()
		emit(0xff, 0x05) // incl counter
		address(stubCounter)
		emit(0xb9, 0x20, 0x4e, 0, 0, 0x49, 0x75, 0xfd) // mov $20000, %ecx; 1: dec %ecx; jnz 1b
		emit(0xa1)                                     // mov counter, %eax
		address(stubCounter)
		emit(0x24, 7, 0x04, '0') // and $7, %al; add $'0', %al
		outSerial()
		emit(0xeb, byte(loop-code.Len()-2)) // jmp loop
	}
	emit(0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd) // mov $0xfe, %al; out %al, $0x64; 1: hlt; jmp 1b

	image := make([]byte, stubCounter-stubBase+4)
	require.Less(t, copy(image, code.Bytes()), hello-stubBase)
	copy(image[hello-stubBase:], stubHello+"\x00")

	// The note says where the code begins: XEN_ELFNOTE_PHYS32_ENTRY.
	note := elf32(t, uint32(4), uint32(4), uint32(18), [4]byte{'X', 'e', 'n'}, uint32(stubBase))
	const headers = 52 + 2*32
	head := elf.Header32{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_386), Version: 1, Entry: stubBase,
		Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: 2, Shentsize: 40}
	copy(head.Ident[:], elf.ELFMAG)
	head.Ident[elf.EI_CLASS], head.Ident[elf.EI_DATA], head.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS32), byte(elf.ELFDATA2LSB), 1
	noteAt, imageAt := uint32(headers), uint32(headers+len(note))
	file := elf32(t, head,
		elf.Prog32{Type: uint32(elf.PT_LOAD), Off: imageAt, Vaddr: stubBase, Paddr: stubBase, Filesz: uint32(len(image)), Memsz: uint32(len(image)), Flags: 7, Align: 4},
		elf.Prog32{Type: uint32(elf.PT_NOTE), Off: noteAt, Filesz: uint32(len(note)), Memsz: uint32(len(note)), Flags: 4, Align: 4},
		note, image)
	path := filepath.Join(t.TempDir(), "stub")
	require.NoError(t, os.WriteFile(path, file, 0o644))
	return path
}

// elf32 lays out values one after the other.
func elf32(t *testing.T, values ...any) []byte {
	var b bytes.Buffer
	for _, v := range values {
		require.NoError(t, binary.Write(&b, binary.LittleEndian, v))
	}
	return b.Bytes()
}
