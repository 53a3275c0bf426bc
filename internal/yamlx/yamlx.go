// SPDX-License-Identifier: Apache-2.0

// Package yamlx reads YAML strictly and remembers where values stood.
//
// A misspelt key, a wrong type and a second document are errors. Every error begins with
// file:line:col, or with the file alone if it is about the whole file.
package yamlx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Pos is a position in a file; line and column count from 1. The zero Pos means the whole file.
type Pos struct{ Line, Col int }

// At is a value and where it was written, for checks made later. Use it for
// leaves only: a struct inside At is decoded without the check for unknown
// keys.
type At[T any] struct {
	V         T
	Line, Col int
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (a *At[T]) UnmarshalYAML(n *yaml.Node) error {
	a.Line, a.Col = n.Line, n.Column
	return n.Decode(&a.V)
}

// MarshalYAML implements yaml.Marshaler: the value alone.
func (a At[T]) MarshalYAML() (any, error) { return a.V, nil }

// Pos is where the value was written; zero if it was left out.
func (a At[T]) Pos() Pos { return Pos{a.Line, a.Col} }

// IsZero reports whether the value was left out (yaml's omitempty).
func (a At[T]) IsZero() bool { return a.Line == 0 }

// Errors collects what is wrong with one file.
type Errors struct {
	File string
	errs []error
}

// Add notes that key, written at pos, is wrong: say what it is and what is
// allowed.
func (e *Errors) Add(pos Pos, key, format string, args ...any) {
	where := e.File
	if pos.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", e.File, pos.Line, pos.Col)
	}
	e.errs = append(e.errs, fmt.Errorf("%s: %s: %s", where, key, fmt.Sprintf(format, args...)))
}

// Join adds an error that another check of the file found; nil adds nothing.
func (e *Errors) Join(err error) { e.errs = append(e.errs, err) }

// Err joins what was added; nil if nothing was.
func (e *Errors) Err() error { return errors.Join(e.errs...) }

// Decode reads the only document of data into out, a pointer. name is the file's name in messages. The error joins
// all that is wrong; an empty file is an error, too.
func Decode(name string, data []byte, out any) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	errs := &Errors{File: name}
	switch err := dec.Decode(out); {
	case errors.Is(err, io.EOF):
		errs.Add(Pos{}, "document", "the file is empty")
		return errs.Err()
	case err != nil:
		explain(errs, data, err, reflect.TypeOf(out))
		return errs.Err()
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		errs.Add(Pos{max(more.Line, 1), max(more.Column, 1)}, "document", "a second one follows; a file holds one")
	}
	return errs.Err()
}

var (
	lineRE    = regexp.MustCompile(`(?s)^(?:yaml: )?line (\d+): (.*)$`)
	unknownRE = regexp.MustCompile(`(?s)^field (.*) not found in type (.+)$`)
	intoRE    = regexp.MustCompile(`(?s)^(cannot unmarshal .*) into (.+)$`)
)

// explain adds yaml.v3's errors to errs, in our words and with columns: yaml.v3 tells lines only.
func explain(errs *Errors, data []byte, err error, t reflect.Type) {
	var te *yaml.TypeError
	lines := []string{err.Error()}
	if errors.As(err, &te) {
		lines = te.Errors
	}
	text := strings.Split(string(data), "\n")
	for _, msg := range lines {
		m := lineRE.FindStringSubmatch(msg)
		if m == nil {
			errs.Add(Pos{}, "document", "%s", strings.TrimPrefix(msg, "yaml: "))
			continue
		}
		n, _ := strconv.Atoi(m[1])
		if u := unknownRE.FindStringSubmatch(m[2]); u != nil {
			why := "no such key" + suggest(t, u[2])
			if now := renamed(t, u[2])[u[1]]; now != "" {
				why = "is called " + now + " now"
			}
			errs.Add(Pos{n, column(text, n, u[1])}, u[1], "%s", why)
			continue
		}
		why := m[2]
		if u := intoRE.FindStringSubmatch(why); u != nil {
			if keys := suggest(t, u[2]); keys != "" { // no name of a Go type
				why = u[1] + ": want a mapping" + keys
			} else if strings.HasPrefix(u[2], "[]") {
				why = u[1] + ": want a list"
			} else if strings.HasPrefix(u[2], "map[") {
				why = u[1] + ": want a mapping"
			}
		}
		errs.Add(Pos{n, column(text, n, "")}, "value", "%s", why)
	}
}

// column finds key in the given line (both count from 1).
func column(text []string, line int, key string) int {
	if line < 1 || line > len(text) {
		return 1
	}
	s := text[line-1]
	if i := strings.Index(s, key); key != "" && i >= 0 {
		return i + 1
	}
	return len(s) - len(strings.TrimLeft(s, " -")) + 1
}

// Renamer is a struct type some of whose keys were renamed; RenamedKeys maps an old name to the new one. The error
// about an old key names the new one.
type Renamer interface{ RenamedKeys() map[string]string }

// renamed are the renamed keys of the struct type called name somewhere inside t.
func renamed(t reflect.Type, name string) map[string]string {
	var keys map[string]string
	walk(t, map[reflect.Type]bool{}, func(s reflect.Type) {
		if s.String() != name {
			return
		}
		if r, ok := reflect.New(s).Interface().(Renamer); ok {
			keys = r.RenamedKeys()
		}
	})
	return keys
}

// suggest lists the keys of the struct type called name somewhere inside t.
func suggest(t reflect.Type, name string) string {
	var keys []string
	walk(t, map[reflect.Type]bool{}, func(s reflect.Type) {
		if s.String() != name || keys != nil {
			return
		}
		keys = keysOf(s)
	})
	if len(keys) == 0 {
		return ""
	}
	slices.Sort(keys)
	return "; allowed: " + strings.Join(keys, ", ")
}

// keysOf are the keys of a struct, those of inlined structs among them.
func keysOf(s reflect.Type) []string {
	var keys []string
	for i := range s.NumField() {
		f := s.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			keys = append(keys, keysOf(f.Type)...)
		case key == "-" || !f.IsExported():
		case key == "":
			keys = append(keys, strings.ToLower(f.Name))
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

func walk(t reflect.Type, seen map[reflect.Type]bool, visit func(reflect.Type)) {
	if t == nil || seen[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		walk(t.Elem(), seen, visit)
	case reflect.Struct:
		visit(t)
		for i := range t.NumField() {
			walk(t.Field(i).Type, seen, visit)
		}
	}
}
