// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"

	"github.com/ds2-lab/alps/internal/atomicfile"
)

// aliases are the names that newer OpenLambda gives to keys.
var aliases = map[string]string{"docker.runtime": "docker_runtime", "docker.base_image": "image"}

// Read reads path, applies overrides (a.b=value) and defaults, and checks
// every value.
func Read(path string, overrides []string) (Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("config: %w (make one with: ol init)", err)
	}
	return Parse(path, data, overrides)
}

// Parse is Read of a file's content; path is for messages.
func Parse(path string, data []byte, overrides []string) (Config, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var raw map[string]any
	if err := dec.Decode(&raw); err != nil {
		return Config{}, fmt.Errorf("%s:%s: %w", path, position(data, dec, err), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("%s:%s: more than one JSON object", path, position(data, dec, nil))
	}
	var c Config
	if err := decode(raw, &c, false); err != nil {
		return Config{}, explain(path, err)
	}
	for _, o := range overrides {
		key, value, ok := strings.Cut(o, "=")
		if !ok {
			return Config{}, fmt.Errorf("-o %s: want key=value or a.b=value", o)
		}
		if alias, ok := aliases[strings.ToLower(key)]; ok {
			key = alias
		}
		if err := decode(nested(strings.Split(key, "."), value), &c, true); err != nil {
			return Config{}, explain("-o "+o, err)
		}
	}
	c.fill()
	return c, c.Check(path)
}

// position is line:column of what the decoder stumbled over.
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

// decode puts raw into c. Overrides are words that become numbers and booleans
// where the key is one, and must name a key that exists.
func decode(raw map[string]any, c *Config, override bool) error {
	for from, to := range aliases {
		outer, inner, _ := strings.Cut(from, ".")
		if group, ok := raw[outer].(map[string]any); ok && group[inner] != nil && raw[to] == nil {
			raw[to] = group[inner]
		}
	}
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

// kind is a word of the reader for a type of ours.
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

// Write makes path, for the owner alone.
func (c Config) Write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if err := atomicfile.Write(path, c.JSON(), 0o600); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
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
