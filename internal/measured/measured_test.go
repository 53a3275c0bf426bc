// SPDX-License-Identifier: Apache-2.0

package measured

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// printed is a test that keeps what it logs and notes whether it failed.
type printed struct {
	testing.TB
	log    string
	failed bool
}

func (p *printed) Helper()               {}
func (p *printed) Name() string          { return "TestGuestX/one_of_two" }
func (p *printed) Log(args ...any)       { p.log += fmt.Sprintln(args...) }
func (p *printed) Fatalf(string, ...any) { p.failed = true }

func TestFindFindsWhatIsPrinted(t *testing.T) {
	var p printed
	PrintOf(&p, "6.1.192-alps", 1, "cost/a", 897.12345, "ns")
	PrintOf(&p, "6.1.192-alps", 4, "cost/a", 1234567.8, "ns")
	require.False(t, p.failed)
	lines := strings.SplitAfter(p.log, "\n")
	rows, err := Find([]byte("=== RUN TestGuestX\n1 CPUs:     x_test.go:9: " + lines[0] + "PASS\nkernel says: " + strings.TrimSuffix(lines[1], "\n") + "\r\n"))
	require.NoError(t, err)
	require.Equal(t, []Row{
		{Name: "cost/a", Value: 897.123, Unit: "ns", Release: "6.1.192-alps", CPUs: 1, Test: "TestGuestX"},
		{Name: "cost/a", Value: 1234570, Unit: "ns", Release: "6.1.192-alps", CPUs: 4, Test: "TestGuestX"},
	}, rows)

	for _, torn := range []string{lines[0][:20], "MEASURED\ta\n", strings.Replace(lines[0], "\n", " and more\n", 1), strings.Replace(lines[0], "897.123", "many", 1)} {
		_, err = Find([]byte(torn))
		require.ErrorContains(t, err, "does not come whole", torn)
	}
	_, err = Find([]byte(lines[0] + lines[0]))
	require.ErrorContains(t, err, "cost/a, 1 CPUs was printed twice")
	rows, err = Find([]byte("ok\n"))
	require.NoError(t, err)
	require.Empty(t, rows)
}

func TestPrintRefusesWhatIsNoNumberOfARecord(t *testing.T) {
	for _, x := range []struct {
		name  string
		value float64
		unit  string
	}{{"", 1, "ns"}, {"a b", 1, "ns"}, {"a", math.NaN(), "ns"}, {"a", math.Inf(1), "ns"}, {"a", 1, ""}, {"a", 1, "µs"}} {
		var p printed
		PrintOf(&p, "6.1", 1, x.name, x.value, x.unit)
		require.True(t, p.failed, "%+v", x)
	}
}

const (
	line1 = "a\t1.5\tns\t6.1\t6.1.192-alps\t1\t0123456789ab\t2026-11-27\tTestGuestA\n"
	line2 = "a\t200000\tns\t6.1\t6.1.192-alps\t4\t0123456789ab+\t2026-11-27\tTestGuestA\n"
)

// A record that is read and written is the same, to the byte.
func TestRecordIsKeptAsItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "measured.tsv")
	require.NoError(t, os.WriteFile(path, []byte(header+"\n"+line1+line2), 0o644))
	r, err := Read(path)
	require.NoError(t, err)
	require.Equal(t, Row{Name: "a", Value: 1.5, Unit: "ns", Kernel: "6.1", Release: "6.1.192-alps", CPUs: 1, Revision: "0123456789ab", Date: "2026-11-27", Test: "TestGuestA"}, r[0])
	again := filepath.Join(t.TempDir(), "again.tsv")
	require.NoError(t, r.Write(again))
	text, err := os.ReadFile(again)
	require.NoError(t, err)
	require.Equal(t, header+"\n"+line1+line2, string(text))
}

func TestErrorsOfARecordNameFileAndLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "measured.tsv")
	for text, want := range map[string]string{
		"":                               ":1: want the header",
		"name\n":                         ":1: want the header",
		header + "\n\n":                  ":2: 1 fields, not 9",
		header + "\n" + line1 + "a\t1\n": ":3: 2 fields, not 9",
		header + "\n" + line1 + line1:    ":3: a, kernel 6.1, 1 CPUs is there twice",
		header + "\n" + line2 + line1:    ":3: a, kernel 6.1, 1 CPUs comes before the line above",
		header + "\n" + strings.Replace(line1, "1.5", "1,5", 1):       ":2: value \"1,5\"",
		header + "\n" + strings.Replace(line1, "1.5", "1.50", 1):      ":2: value \"1.50\"",
		header + "\n" + strings.Replace(line1, "1.5", "1.234567", 1):  ":2: value \"1.234567\"",
		header + "\n" + strings.Replace(line1, "\t1\t", "\t0\t", 1):   ":2: cpus \"0\"",
		header + "\n" + strings.Replace(line1, "2026-11-27", "", 1):   ":2: a field is empty",
		header + "\n" + strings.TrimSuffix(line1, "\n"):               ":2: no end of the line",
		header + "\n" + strings.Replace(line1, "\tns", "\tns\tns", 1): ":2: 10 fields, not 9",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		_, err := Read(path)
		require.ErrorContains(t, err, path+want, "%q", text)
	}
	_, err := Read(filepath.Join(t.TempDir(), "none.tsv"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestMergeReplacesItsRowsAndSaysByHowMuch(t *testing.T) {
	old := Record{
		{Name: "a", Value: 200, Unit: "ns", Kernel: "5.18", CPUs: 1, Test: "TestGuestA"},
		{Name: "a", Value: 200, Unit: "ns", Kernel: "6.1", CPUs: 1, Test: "TestGuestA"},
		{Name: "b", Value: 0, Unit: "ns", Kernel: "6.1", CPUs: 1, Test: "TestGuestB"},
		{Name: "c", Value: 3, Unit: "ns", Kernel: "6.1", CPUs: 1, Test: "TestGuestC"},
		{Name: "d", Value: 3, Unit: "ns", Kernel: "6.1", CPUs: 1, Test: "TestGuestC"},
		{Name: "e", Value: 24.0262, Unit: "ms", Kernel: "6.1", CPUs: 1, Test: "TestGuestC"},
	}
	merged, said := old.Merge([]Row{
		{Name: "c", Value: 3, Unit: "ns", Kernel: "6.1", CPUs: 1, Revision: "new"},
		{Name: "d", Value: 3, Unit: "ms", Kernel: "6.1", CPUs: 1, Revision: "new"},
		{Name: "b", Value: 1, Unit: "ns", Kernel: "6.1", CPUs: 1, Revision: "new"},
		{Name: "a", Value: 4, Unit: "ns", Kernel: "6.1", CPUs: 4, Revision: "new"},
		{Name: "e", Value: 24.0174, Unit: "ms", Kernel: "6.1", CPUs: 1, Revision: "new"},
		{Name: "a", Value: 210, Unit: "ns", Kernel: "6.1", CPUs: 1, Revision: "new"},
	})
	require.Equal(t, []string{
		"c, kernel 6.1, 1 CPUs: 3 ns, as before",
		"d, kernel 6.1, 1 CPUs: 3 ms, was 3 ns",
		"b, kernel 6.1, 1 CPUs: 1 ns, was 0",
		"a, kernel 6.1, 4 CPUs: 4 ns, new",
		"e, kernel 6.1, 1 CPUs: 24.0174 ms, was 24.0262 (less than .1 % apart)",
		"a, kernel 6.1, 1 CPUs: 210 ns, was 200 (+5.0 %)",
	}, said)
	require.Equal(t, old[0], merged[0])
	require.Equal(t, 200., old[1].Value, "the old record is as it was")
	var values []float64
	for _, r := range merged {
		values = append(values, r.Value)
	}
	require.Equal(t, []float64{200, 210, 4, 1, 3, 3, 24.0174}, values)
	path := filepath.Join(t.TempDir(), "measured.tsv")
	require.NoError(t, Record{}.Write(path))
	empty, err := Read(path)
	require.NoError(t, err)
	require.Empty(t, empty)
}
