// SPDX-License-Identifier: Apache-2.0

// Package client invokes functions of an OpenLambda worker.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Request is the body of a request; its fields are strings, as the ALPS
// artifact's clients send them.
type Request struct {
	N      string `json:"n"`
	ID     string `json:"id"`
	Job    string `json:"job"`
	Rounds string `json:"rounds,omitempty"` // how often the function computes for N; "" is once
}

// Reply is the last line of an answer.
type Reply struct {
	ID      string
	Start   time.Time     // when the invocation's process was forked; in mode import, when the request was accepted
	Elapsed time.Duration // from Start to the result
	PID     uint32        // as seen in the container
	N       string
	Job     string
}

// Invoke posts r to base/run/name, base being like http://127.0.0.1:5002. A status other
// than 200 is an error, and so is a redirect.
func Invoke(ctx context.Context, c *http.Client, base, name string, r Request) (Reply, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return Reply{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/run/"+name, bytes.NewReader(body))
	if err != nil {
		return Reply{}, fmt.Errorf("invoke %s: %w", name, err)
	}
	asSent := *c
	asSent.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := asSent.Do(req)
	if err != nil {
		return Reply{}, fmt.Errorf("invoke %s: %w", name, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return Reply{}, fmt.Errorf("invoke %s: %w", name, err)
	}
	if resp.StatusCode != http.StatusOK {
		return Reply{}, fmt.Errorf("invoke %s: %s: %s", name, resp.Status, strings.TrimSpace(string(data)))
	}
	reply, err := parse(string(data))
	if err != nil {
		return Reply{}, fmt.Errorf("invoke %s: %w", name, err)
	}
	return reply, nil
}

// parse reads "id start elapsed pid n job" from the last line.
func parse(answer string) (Reply, error) {
	lines := strings.Split(strings.TrimRight(answer, "\n"), "\n")
	f := strings.Fields(lines[len(lines)-1])
	if len(f) != 6 {
		return Reply{}, fmt.Errorf("answer %q: want id start elapsed pid n job", lines[len(lines)-1])
	}
	start, err1 := strconv.ParseFloat(f[1], 64)
	elapsed, err2 := strconv.ParseFloat(f[2], 64)
	pid, err3 := strconv.ParseUint(f[3], 10, 32)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return Reply{}, fmt.Errorf("answer %q: %w", answer, err)
		}
	}
	return Reply{ID: f[0], Start: time.UnixMicro(int64(start * 1e6)), Elapsed: time.Duration(elapsed * float64(time.Second)),
		PID: uint32(pid), N: f[4], Job: f[5]}, nil
}
