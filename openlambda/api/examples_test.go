// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ds2-lab/alps/openlambda/oltest"
)

// A function of each kind that there is among OpenLambda's examples runs, or is refused
// with a sentence that says why. compat.md has the examples' names.
func TestKindsOfExamples(t *testing.T) {
	const flask = "flask==3.1.0\n    # via -r requirements.in\n"
	for name, x := range map[string]struct {
		files        map[string]string
		method, path string
		body         string
		code         int
		want         string
	}{
		"the event comes back": {map[string]string{"f.py": oltest.Echo}, "POST", "", `{"a": [1, null]}`, 200, `{"a": [1, null]}`},
		"no body is {}":        {map[string]string{"f.py": oltest.Echo}, "GET", "", "", 200, "{}"},
		"a constant":           {map[string]string{"f.py": "def f(event):\n    return 'hi'\n"}, "GET", "", "", 200, `"hi"`},
		"null":                 {map[string]string{"f.py": "import sys\ndef f(event):\n    return sys.version if event is None else 0\n"}, "POST", "", "null", 200, "3."},
		"sleep":                {map[string]string{"f.py": "import time\ndef f(event):\n    time.sleep(int(event))\n    return f'slept {event}'\n"}, "POST", "", "1", 200, `"slept 1"`},
		"a system call":        {map[string]string{"f.py": "import ctypes\ndef f(event):\n    return ctypes.CDLL(None).getpid() > 0\n"}, "POST", "", "{}", 200, "true"},
		"children": {map[string]string{"f.py": "import os\ndef f(event):\n    n = 0\n    for _ in range(event['times']):\n        pid = os.fork()\n        if pid == 0:\n            os._exit(1)\n        n += os.waitpid(pid, 0)[1] >> 8\n    return n\n"},
			"POST", "", `{"times": 5}`, 200, "5"},
		"a thread that goes on": {map[string]string{"f.py": "import threading, time\ndef work():\n    while True: time.sleep(0.01)\ndef f(event):\n    threading.Thread(target=work, daemon=True).start()\n    return 'started'\n"},
			"POST", "", "{}", 200, `"started"`},
		"Python 2": {map[string]string{"f.py": "def f(event):\n    print 'hi'\n"}, "POST", "", "{}", 500, "SyntaxError: Missing parentheses in call to 'print'"},
		"variables and methods": {map[string]string{"f.py": "import os\ndef f(event):\n    return os.environ['KEY']\n", "ol.yaml": "triggers:\n  http:\n    - method: GET\n    - method: POST\nenvironment:\n  KEY: \"a b\"\n"},
			"GET", "", "", 200, `"a b"`},
		"a method that is not named": {map[string]string{"f.py": oltest.Echo, "ol.yaml": "triggers:\n  http:\n    - method: GET\n    - method: POST\n"},
			"DELETE", "", "", 405, "HTTP method not allowed. Sent: DELETE, Allowed: [GET POST]"},
		"any method": {map[string]string{"f.py": oltest.Echo, "ol.yaml": "triggers:\n  http:\n    - method: \"*\"\n"}, "DELETE", "", "", 200, "{}"},
		"WSGI with its own entry": {map[string]string{"main.py": "def mine(environ, start_response):\n    start_response('418 Teapot', [('A', 'B')])\n    return [environ['PATH_INFO'].encode() + environ['wsgi.input'].read()]\n", "ol.yaml": "environment:\n  OL_ENTRY_FILE: main.py\n  OL_WSGI_ENTRY: mine\n"},
			"POST", "/home", "x", 418, "/homex"},
		"ASGI": {map[string]string{"f.py": "async def app(scope, receive, send):\n    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n    await send({'type': 'http.response.body', 'body': scope['path'].encode()})\n"},
			"GET", "/a", "", 200, "/a"},
		"a file beside the code": {map[string]string{"f.py": "import os\napp = lambda environ, start: (start('200 OK', []), [open(os.path.join(os.path.dirname(__file__), 'index.html'), 'rb').read()])[1]\n", "index.html": "<h1>x</h1>"},
			"GET", "/home", "", 200, "<h1>x</h1>"},
		"pinned packages": {map[string]string{"f.py": "import flask\n", "requirements.txt": flask}, "GET", "", "", 500,
			"refused: requirements.txt:1: flask==3.1.0: the image has"},
		"how to install them": {map[string]string{"f.py": "import flask\n", "requirements.txt": flask}, "GET", "", "", 500,
			"build an image that has them (go run mage.go openlambda:build -packages=python3-flask, or -wheels=FOLDER) and load it, or ask for what the image has"},
		"packages that are there": {map[string]string{"f.py": oltest.Echo, "requirements.txt": "# none\n"}, "GET", "", "", 200, "{}"},
		"Kafka": {map[string]string{"f.py": oltest.Echo, "ol.yaml": "triggers:\n  kafka:\n    - bootstrap_servers: [\"localhost:9092\"]\n      topics: [t]\n      auto_offset_reset: earliest\n"},
			"POST", "", "{}", 500, "ol.yaml:3:7: triggers.kafka: this worker reads from no Kafka; remove the trigger and have a consumer POST each message to /run/NAME"},
		"a binary": {map[string]string{"f.bin": "\x7fELF"}, "POST", "", "{}", 500, "no f.py in it"},
	} {
		t.Run(name, func(t *testing.T) {
			c := oltest.Config(t)
			dir := filepath.Join(c.Registry, "x")
			require.NoError(t, os.MkdirAll(dir, 0o755))
			for file, text := range x.files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
			}
			s, _ := oltest.OnDocker(t, c)
			code, body := oltest.Request(t, x.method, s.Base+"/run/x"+x.path, x.body)
			require.Equal(t, x.code, code, body)
			require.Contains(t, body, x.want)
		})
	}
}

// A path that OpenLambda has and this worker has not is a 404.
func TestPathsThatAreNotThere(t *testing.T) {
	s := oltest.Serve(t, oltest.Config(t), &oltest.Pool{})
	for _, path := range []string{"/registry/x", "/kafka/register/x", "/pprof/mem", "/pprof/cpu-start", "/pprof/cpu-stop", "/create", "/pause/1"} {
		code, _ := oltest.Request(t, http.MethodPost, s.Base+path, "")
		require.Equal(t, http.StatusNotFound, code, path)
	}
}
