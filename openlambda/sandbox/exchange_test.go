// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/sandbox"
)

// dialled is a sandbox of which only Dial is called.
type dialled struct {
	sandbox.Sandbox
	dial func() (net.Conn, error)
}

func (d dialled) Dial(context.Context) (net.Conn, error) { return d.dial() }

// watched records what is written to a connection.
type watched struct {
	net.Conn
	said *[]string
}

func (w watched) Write(p []byte) (int, error) {
	*w.said = append(*w.said, "write "+string(p))
	return w.Conn.Write(p)
}

// A connection wakes the server up. The request follows the connection in one piece, and
// for a request that cannot be sent there is no connection.
func TestExchangeConnectsWhenTheRequestIsThere(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var said []string
	s := dialled{dial: func() (net.Conn, error) {
		said = append(said, "dial")
		mine, its := net.Pipe()
		go func() {
			defer its.Close()
			if req, err := http.ReadRequest(bufio.NewReader(its)); err == nil {
				io.Copy(io.Discard, req.Body)
				io.WriteString(its, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}()
		return watched{mine, &said}, nil
	}}
	exchange := func(s sandbox.Sandbox, host string) (answer string, err error) {
		req := &http.Request{Method: "POST", Host: host, Header: http.Header{"User-Agent": {""}}}
		if host != "" {
			req, err = http.NewRequest("POST", "http://"+host+"/run/x", nil)
			require.NoError(t, err)
		}
		err = sandbox.Exchange(ctx, s, req, []byte("body"), func(resp *http.Response) error {
			data, err := io.ReadAll(resp.Body)
			answer = string(data)
			return err
		})
		return answer, err
	}
	answer, err := exchange(s, "a")
	require.NoError(t, err)
	require.Equal(t, "ok", answer)
	require.Len(t, said, 2)
	require.Equal(t, "dial", said[0])
	require.True(t, strings.HasPrefix(said[1], "write POST /run/x HTTP/1.1\r\n") && strings.HasSuffix(said[1], "\r\n\r\nbody"), said[1])

	said = nil
	_, err = exchange(s, "")
	require.Error(t, err, "a request without a host and a URL")
	require.NotErrorIs(t, err, sandbox.ErrNotSent, "no other sandbox could take it")
	require.Empty(t, said)

	_, err = exchange(dialled{dial: func() (net.Conn, error) { return nil, iotest.ErrTimeout }}, "a")
	require.ErrorIs(t, err, sandbox.ErrNotSent)
	require.True(t, errors.Is(err, iotest.ErrTimeout))
}
