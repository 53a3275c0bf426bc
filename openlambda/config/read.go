// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"

	"github.com/ds2-lab/alps/internal/atomicfile"
)

// aliases maps the names that newer OpenLambda gives to some keys to the names used here.
var aliases = map[string]string{"docker.runtime": "docker_runtime", "docker.base_image": "image", "limits.runtime_sec": "limits.max_runtime_default"}

// Sources says where the value of a key comes from: the configuration file's path, or
// "-o". A key that is not in it has its default.
type Sources map[string]string

// Read reads path, applies overrides (a.b=value) and defaults, and checks
// every value.
func Read(path string, overrides []string) (Config, error) {
	c, _, err := ReadSources(path, overrides)
	return c, err
}

// ReadSources is Read that also says where each value comes from.
func ReadSources(path string, overrides []string) (Config, Sources, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("config: %w (make one with: ol init)", err)
	}
	return parse(path, data, overrides)
}

// Parse is Read of a file's content; path is for messages.
func Parse(path string, data []byte, overrides []string) (Config, error) {
	c, _, err := parse(path, data, overrides)
	return c, err
}

func parse(path string, data []byte, overrides []string) (Config, Sources, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var raw map[string]any
	if err := dec.Decode(&raw); err != nil {
		return Config{}, nil, fmt.Errorf("%s:%s: %w", path, position(data, dec, err), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Config{}, nil, fmt.Errorf("%s:%s: more than one JSON object", path, position(data, dec, nil))
	}
	if err := rename(path, raw); err != nil {
		return Config{}, nil, err
	}
	sources := Sources{}
	known := Keys()
	note(sources, known, "", raw, path)
	var c Config
	if err := decode(raw, &c, false); err != nil {
		return Config{}, nil, explain(path, err)
	}
	given := map[string][2]string{} // by the key's own name: name as given, value
	for _, o := range overrides {
		name, value, ok := strings.Cut(o, "=")
		if !ok {
			return Config{}, nil, fmt.Errorf("-o %s: want key=value or a.b=value", o)
		}
		key := name
		if alias, ok := aliases[strings.ToLower(name)]; ok {
			key = alias
		}
		low := strings.ToLower(key)
		if was, ok := given[low]; ok && !strings.EqualFold(was[0], name) && was[1] != value {
			return Config{}, nil, fmt.Errorf("-o: %s=%s and %s=%s are two names of one key that disagree: give one", was[0], was[1], name, value)
		}
		given[low] = [2]string{name, value}
		tree := nested(strings.Split(key, "."), value)
		if err := decode(tree, &c, true); err != nil {
			return Config{}, nil, explain("-o "+o, err)
		}
		note(sources, known, "", tree, "-o")
	}
	c.fill()
	return c, sources, c.Check(path)
}

// rename puts values under a newer name of a key under its name here. Two that disagree are an error.
func rename(path string, raw map[string]any) error {
	for _, newer := range slices.Sorted(maps.Keys(aliases)) {
		outer, inner, _ := strings.Cut(newer, ".")
		group, ok := raw[find(raw, outer)].(map[string]any)
		if !ok {
			continue
		}
		from := find(group, inner)
		value, ok := group[from]
		if !ok || value == nil {
			continue
		}
		delete(group, from)
		target, to := raw, aliases[newer]
		if o, i, nested := strings.Cut(to, "."); nested {
			target, _ = raw[find(raw, o)].(map[string]any)
			to = i
		}
		to = find(target, to)
		if old, ok := target[to]; ok && old != nil && fmt.Sprint(old) != fmt.Sprint(value) {
			return fmt.Errorf("%s: %s: %v and %s: %v are two names of one key that disagree: keep one", path, aliases[newer], old, newer, value)
		}
		target[to] = value
	}
	return nil
}

// find is the key of m that equals name but for case; name itself if there is none.
func find(m map[string]any, name string) string {
	for k := range m {
		if strings.EqualFold(k, name) {
			return k
		}
	}
	return name
}

// note records source in s for every key of raw that is in known. prefix is the path to raw.
func note(s Sources, known []string, prefix string, raw map[string]any, source string) {
	for k, v := range raw {
		at := prefix + k
		if i := slices.IndexFunc(known, func(x string) bool { return strings.EqualFold(x, at) }); i >= 0 {
			s[known[i]] = source
		} else if group, ok := v.(map[string]any); ok {
			note(s, known, at+".", group, source)
		}
	}
}

// position is line:column of the byte at which the decoder stopped.
func position(data []byte, dec *json.Decoder, err error) string {
	at := dec.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at = syntax.Offset
	}
	before := data[:min(max(at, 0), int64(len(data)))]
	return fmt.Sprintf("%d:%d", bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n'))
}

func nested(keys []string, value string) map[string]any {
	if len(keys) == 1 {
		return map[string]any{keys[0]: value}
	}
	return map[string]any{keys[0]: nested(keys[1:], value)}
}

// decode puts raw into c. An override's value is text, which becomes a number or a boolean
// where the key wants one; and it must name a key that exists.
func decode(raw map[string]any, c *Config, override bool) error {
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: c, TagName: "json", WeaklyTypedInput: override, ErrorUnused: override,
		DecodeHook: func(from, to reflect.Value) (any, error) {
			if override && to.Kind() == reflect.Slice {
				return nil, errors.New("lists are edited in the file")
			}
			if to.Kind() == reflect.Struct && from.Kind() != reflect.Map && from.Type() != to.Type() {
				return nil, fmt.Errorf("%v: allowed: a JSON object", from)
			}
			return from.Interface(), nil
		},
	})
	if err != nil {
		return err
	}
	return dec.Decode(raw)
}

// explain turns mapstructure's errors into file, key, value and what is allowed.
func explain(where string, err error) error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, explain(where, e))
		}
		return errors.Join(out...)
	}
	var field *mapstructure.DecodeError
	if !errors.As(err, &field) {
		return fmt.Errorf("%s: %w", where, err)
	}
	var typed *mapstructure.UnconvertibleTypeError
	if errors.As(err, &typed) {
		return fmt.Errorf("%s: %s: %v: allowed: %s", where, field.Name(), typed.Value, kind(typed.Expected))
	}
	var parse *mapstructure.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("%s: %s: %v: allowed: %s", where, field.Name(), parse.Value, kind(parse.Expected))
	}
	return fmt.Errorf("%s: %s: %w", where, field.Name(), field.Unwrap())
}

// kind names the type of a key in words of JSON, for messages.
func kind(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	case reflect.Struct, reflect.Map:
		return "a JSON object"
	case reflect.Slice:
		return "a JSON list"
	}
	return "a " + v.Kind().String()
}

// JSON is the configuration as config.json has it.
func (c Config) JSON() []byte {
	data, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		panic(err) // strings, numbers and booleans
	}
	return append(data, '\n')
}

// Write writes the file path and makes its folder, both for the owner alone.
func (c Config) Write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("config: make its folder: %w", err)
	}
	if err := atomicfile.Write(path, c.JSON(), 0o600); err != nil {
		return fmt.Errorf("config: write: %w", err)
	}
	return nil
}

// Value is the value of a key that Keys lists, as JSON.
func (c Config) Value(key string) string {
	var all map[string]any
	if err := json.Unmarshal(c.JSON(), &all); err != nil {
		panic(err) // JSON wrote it
	}
	var v any = all
	for part := range strings.SplitSeq(key, ".") {
		m, _ := v.(map[string]any)
		v = m[part]
	}
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// Keys lists every key, nested ones as a.b, sorted.
func Keys() []string {
	var out []string
	var walk func(prefix string, t reflect.Type)
	walk = func(prefix string, t reflect.Type) {
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if ft := t.Field(i).Type; ft.Kind() == reflect.Struct {
				walk(prefix+name+".", ft)
				continue
			}
			out = append(out, prefix+name)
		}
	}
	walk("", reflect.TypeFor[Config]())
	slices.Sort(out)
	return out
}
