// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a handler raises, returns, prints or does to descriptors, the request is
// answered, and so is the next one.
func TestNothingLosesTheAnswer(t *testing.T) {
	const code = `import os, sys, socket, gc, json
class Odd(Exception):
    def __str__(self): raise KeyboardInterrupt
class Base(BaseException): pass
class Dict(dict):
    def items(self): raise SystemExit(3)
def f(event):
    exec(event, globals())
    return "fine"
`
	for _, mode := range []string{"import", "fork", "exec"} {
		t.Run(mode, func(t *testing.T) {
			for _, x := range []struct {
				do   string
				code int
				want string
			}{
				{`raise FileNotFoundError(os.fsdecode(b"caf\xe9.txt"))`, 500, `FileNotFoundError: caf\udce9.txt`},
				{`raise Odd`, 500, "Odd"},
				{`raise Base("x")`, 500, "Base: x"},
				{`raise SystemExit`, 500, "SystemExit"},
				{`raise KeyboardInterrupt`, 500, "KeyboardInterrupt"},
				{`raise GeneratorExit`, 500, "GeneratorExit"},
				{`raise MemoryError`, 500, "MemoryError"},
				{`raise RecursionError("\ud800\0")`, 500, "RecursionError"},
				{`raise ConnectionResetError("mine")`, 500, "ConnectionResetError: mine"},
				{`raise BrokenPipeError("mine")`, 500, "BrokenPipeError: mine"},
				{`raise ExceptionGroup("g", [ValueError(1)])`, 500, "ExceptionGroup"},
				{`globals()["f"] = lambda e: 1`, 200, "fine"},
				{`print("\ud800" * 3, flush=True)`, 0, ""},
				{`sys.stdout.close()`, 200, "fine"},
				{`sys.stdout = None`, 200, "fine"},
				{`sys.stdout = open("/dev/full", "w"); print("x")`, 200, "fine"},
				{`os.close(0); os.close(1); os.close(2)`, 200, "fine"},
				{`os.closerange(3, 4096)`, 200, "fine"},
				{`[os.dup2(0, i) for i in range(3, 64)]`, 0, ""},
				{`[o.close() for o in gc.get_objects() if type(o) is socket.socket and False]`, 200, "fine"},
				{`sys.setrecursionlimit(60)`, 0, ""},
			} {
				s := startCode(t, code, mode)
				status, body := s.post(fmt.Sprintf("%q", "")) // it is warm
				require.Equal(t, 200, status, body)
				do := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(x.do)
				status, body, err := s.try("POST", `"`+do+`"`)
				require.NoError(t, err, x.do)
				if x.code != 0 {
					require.Equal(t, x.code, status, "%s: %s", x.do, body)
				}
				require.Contains(t, body, x.want, x.do)
				_, _, err = s.try("POST", `""`)
				require.NoError(t, err, "after %s", x.do)
			}
		})
	}
}

// If no thread can be started for a keeper, the connection is not hidden from the handler,
// and the request is answered all the same.
func TestNoThreadForAKeeper(t *testing.T) {
	for _, mode := range []string{"import", "fork", "exec"} {
		s := startCode(t, "import _thread\ndef none(*args):\n    raise RuntimeError('no room')\n_thread.start_new_thread = none\ndef f(event):\n    return event\n", mode)
		for range 2 {
			code, body := s.post("[1]")
			require.Equal(t, 200, code, "%s: %s", mode, body)
			require.Equal(t, "[1]", body)
		}
	}
}

// If a handler forks and its child returns from the handler, too, only the parent's result
// is the answer.
func TestForkThatReturns(t *testing.T) {
	for _, mode := range []string{"import", "fork", "exec"} {
		s := startCode(t, "import os\ndef f(event):\n    return os.fork() > 0\n", mode)
		for range 3 {
			code, body := s.post("1")
			require.Equal(t, 200, code)
			require.Equal(t, "true", body)
		}
	}
}

// pieces are the statements of which FuzzHandlers makes handlers: of each pair of bytes one
// chooses a statement, and the other is the number in it. Eight statements make no result
// that is too large for the host's memory.
var pieces = []string{
	`raise ValueError(%d)`, `raise OSError(os.fsdecode(b"\xff" * (%d + 1)))`, `raise type("E%d", (BaseException,), {"__str__": lambda s: 1/0})`,
	`raise SystemExit(%d)`, `print("x" * %d * 1000)`, `print(chr(0xd800 + %d))`, `sys.stderr.write("y" * %d)`, `sys.stdout.close()`, `sys.stdout = %d`,
	`os.close(%d)`, `os.closerange(%d, 300)`, `os.dup2(%d %% 3, %[1]d)`, `os.set_blocking(%d %% 3, False)`, `socket.socket(fileno=%d).close()`,
	`open("/dev/full", "w").write("z" * %d)`, `os.open("/", os.O_RDONLY)`, `result = float("nan")`, `result = {1: {2, %d}}`, `result = b"%d"`,
	`result = "\ud800" * %d`, `result = [result] * (%d %% 2 + 1)`, `result = "y" * (%d << 8)`, `sys.setrecursionlimit(50 + %d)`, `sys.stdin = sys.stdout = sys.stderr = None`,
	`os.pipe()`, `fcntl.fcntl(%d, fcntl.F_SETFD, 1)`, `os.umask(%d)`, `os.chdir("/")`, `locale = %d`, `result = os.listdir("/proc/self/fd")`,
	`socket.fromfd(%d, 1, 1).shutdown(2)`, `signal.signal(signal.SIGTERM, signal.SIG_IGN)`,
}

// FuzzHandlers runs handlers made at random: each request is answered, and the server goes
// on. Statements that end a process on purpose (os._exit, signals) are not among pieces.
func FuzzHandlers(f *testing.F) {
	const code = `import fcntl, os, signal, socket, sys
def f(event):
    result = None
    for piece in event:
        names = {**globals(), "result": result}
        try:
            exec(piece, names)
        except BaseException:
            if piece is event[-1]: raise
        result = names.get("result")
    return result
`
	f.Add([]byte{0, 1})
	f.Add([]byte{10, 3, 9, 5, 4, 200})
	for i := range pieces {
		f.Add([]byte{byte(i), 7})
	}
	servers := map[string]pyServer{}
	for _, mode := range []string{"import", "fork"} {
		servers[mode] = startCode(f, code, mode)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var do []string
		for i := 0; i+1 < len(data) && i < 16; i += 2 {
			piece := pieces[int(data[i])%len(pieces)]
			if strings.Contains(piece, "%d") || strings.Contains(piece, "%[1]d") {
				piece = fmt.Sprintf(piece, data[i+1])
			}
			do = append(do, fmt.Sprintf(`"%s"`, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(piece)))
		}
		for _, mode := range []string{"import", "fork"} {
			s := servers[mode]
			for _, body := range []string{"[" + strings.Join(do, ",") + "]", "[]"} {
				status, answer, err := s.try("POST", body)
				require.NoError(t, err, "%s: %s", mode, body)
				require.Contains(t, []int{200, 500}, status, "%s: %s: %s", mode, body, answer)
			}
		}
	})
}
