// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
)

// Hooks are the two functions of the series to which a BPF program may attach.
var Hooks = []string{"alps_hook_bias", "alps_hook_slice"}

// verifyHooks looks into the objects of a build: fair.o must call the real
// symbols (compilers have been seen to fold a function that returns a
// constant), and alps.o must declare them error-injectable.
func verifyHooks(build string) error {
	calls, err := relocations(filepath.Join(build, "kernel/sched/fair.o"), ".rela.text")
	if err != nil {
		return err
	}
	inject, err := relocations(filepath.Join(build, "kernel/sched/alps.o"), ".rela_error_injection_whitelist")
	if err != nil {
		return err
	}
	var errs []error
	for _, hook := range Hooks {
		if calls[hook] == 0 {
			errs = append(errs, fmt.Errorf("hook %s: nothing in fair.o calls it: no program attached to it would ever run", hook))
		}
		if inject[hook] == 0 {
			errs = append(errs, fmt.Errorf("hook %s: not in the error injection list: BPF cannot attach (is CONFIG_FUNCTION_ERROR_INJECTION set?)", hook))
		}
	}
	return errors.Join(errs...)
}

// relocations counts, by symbol, the entries of one relocation section of an object file.
func relocations(object, section string) (map[string]int, error) {
	f, err := elf.Open(object)
	if err != nil {
		return nil, fmt.Errorf("look for the hooks' calls: %w", err)
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil {
		return nil, fmt.Errorf("hooks: symbols of %s: %w", object, err)
	}
	counts := map[string]int{}
	sec := f.Section(section)
	if sec == nil {
		return counts, nil
	}
	data, err := sec.Data()
	if err != nil {
		return nil, fmt.Errorf("hooks: %s of %s: %w", section, object, err)
	}
	const relaSize = 24 // struct Elf64_Rela: offset, info, addend
	for ; len(data) >= relaSize; data = data[relaSize:] {
		sym := elf.R_SYM64(f.ByteOrder.Uint64(data[8:]))
		if sym > 0 && int(sym) <= len(syms) {
			counts[syms[sym-1].Name]++
		}
	}
	return counts, nil
}
