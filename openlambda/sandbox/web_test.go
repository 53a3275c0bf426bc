// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

const wsgiApp = `import json
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    path = environ["PATH_INFO"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"%d\n" % i for i in range(3))
    if path == "/fails":
        start_response("200 OK", [("Content-Type", "text/plain")])
        def parts():
            yield b"begun"
            raise KeyError("half")
        return parts()
    if path == "/raises":
        raise KeyError("boom")
    if path == "/short":
        start_response("200 OK", [("Content-Length", "10")])
        return [b"123"]
    if path == "/header":
        start_response("200 OK", [("X", "a\r\nSet-Cookie: evil")])
        return []
    if path == "/silent":
        return []
    if path == "/none":
        start_response("204 No Content", [])
        return [b"not sent"]
    start_response("418 I'm a teapot", [("A", "B"), ("A", "C"), ("Connection", "keep-alive")])
    out = {k: environ[k] for k in ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT", "CONTENT_LENGTH") if k in environ}
    out["CONTENT_TYPE"] = environ.get("CONTENT_TYPE", "")
    out["HTTP_X_ONE"] = environ.get("HTTP_X_ONE", "")
    out["body"] = list(body)
    return [json.dumps(out).encode()]
`

const asgiApp = `import json
async def app(scope, receive, send):
    body = (await receive())["body"]
    path = scope["path"]
    async def start(status, headers=()):
        await send({"type": "http.response.start", "status": status, "headers": [(k.encode(), v.encode()) for k, v in headers]})
    async def part(data, more):
        await send({"type": "http.response.body", "body": data, "more_body": more})
    if path == "/stream":
        await start(200)
        for i in range(3): await part(b"%d\n" % i, True)
        return await part(b"", False)
    if path == "/fails":
        await start(200)
        await part(b"begun", True)
        raise KeyError("half")
    if path == "/raises":
        raise KeyError("boom")
    if path == "/short":
        await start(200, [("content-length", "10")])
        return await part(b"123", False)
    if path == "/header":
        await start(200, [("x", "a\r\nset-cookie: evil")])
        return await part(b"", False)
    if path == "/silent":
        return
    if path == "/none":
        await start(204)
        return await part(b"not sent", False)
    await start(418, [("A", "B"), ("A", "C"), ("connection", "keep-alive")])
    headers = {k.decode(): v.decode() for k, v in scope["headers"]}
    out = {"REQUEST_METHOD": scope["method"], "SCRIPT_NAME": scope["root_path"], "PATH_INFO": scope["path"], "QUERY_STRING": scope["query_string"].decode(),
        "SERVER_NAME": scope["server"][0], "SERVER_PORT": str(scope["server"][1]), "CONTENT_LENGTH": headers.get("content-length", "0"),
        "CONTENT_TYPE": headers.get("content-type", ""), "HTTP_X_ONE": headers.get("x-one", ""), "body": list(body)}
    await part(json.dumps(out).encode(), False)
`

// An application of either kind sees the whole request and gives the whole answer,
// in every mode.
func TestWebApplications(t *testing.T) {
	for _, app := range []struct {
		name, code string
		file       string
		env        []string
	}{
		{"wsgi", wsgiApp, "f.py", nil}, {"asgi", asgiApp, "f.py", nil},
		{"wsgi entry", wsgiApp + "mine = app\ndel app\n", "main.py", []string{"OL_ENTRY_FILE=main.py", "OL_WSGI_ENTRY=mine"}},
		{"asgi entry", asgiApp + "mine = app\ndel app\n", "main.py", []string{"OL_ENTRY_FILE=main.py", "OL_ASGI_ENTRY=mine"}},
		{"asgi object", asgiApp + "class A:\n    async def __call__(self, *args): await app_(*args)\napp_ = app\napp = A()\n", "f.py", nil},
	} {
		for _, mode := range []string{"import", "fork", "exec"} {
			t.Run(app.name+" "+mode, func(t *testing.T) {
				s := startFiles(t, map[string]string{app.file: app.code}, app.env, mode)
				resp, body, err := s.do("PUT", "/run/shop/a/b%20c/%C3%A4?x=1&y=%20", "\x00\xff\r\n\r\n", http.Header{"X-One": {"1"}, "Content-Type": {"image/png"}})
				require.NoError(t, err)
				require.Equal(t, 418, resp.StatusCode)
				require.Equal(t, []string{"B", "C"}, resp.Header["A"])
				var got map[string]any
				require.NoError(t, json.Unmarshal([]byte(body), &got), body)
				path := "/a/b c/ä"
				if app.name[0] == 'w' {
					path = "/a/b c/Ã¤" // PEP 3333: bytes as latin-1
				}
				require.Equal(t, map[string]any{"REQUEST_METHOD": "PUT", "SCRIPT_NAME": "/run/shop", "PATH_INFO": path, "QUERY_STRING": "x=1&y=%20", "SERVER_NAME": "host",
					"SERVER_PORT": "81", "CONTENT_LENGTH": "6", "CONTENT_TYPE": "image/png", "HTTP_X_ONE": "1", "body": []any{0., 255., 13., 10., 13., 10.}}, got)

				for _, method := range []string{"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"} {
					resp, body, err = s.do(method, "/run/shop", "", nil)
					require.NoError(t, err, method)
					require.Equal(t, 418, resp.StatusCode, method)
					require.Equal(t, method == "HEAD", body == "")
				}
				resp, body, err = s.do("GET", "/run/shop/stream", "", nil)
				require.NoError(t, err)
				require.Equal(t, []string{"chunked"}, resp.TransferEncoding)
				require.Equal(t, "0\n1\n2\n", body)
				_, body, err = s.do("GET", "/run/shop/fails", "", nil)
				require.ErrorContains(t, err, "unexpected EOF", "an answer that breaks off is no whole one: %q", body)
				_, _, err = s.do("GET", "/run/shop/short", "", nil)
				require.ErrorContains(t, err, "unexpected EOF")
				for path, want := range map[string]string{"raises": "KeyError: 'boom'", "header": "cannot be sent", "silent": "Error: the application "} {
					resp, body, err = s.do("GET", "/run/shop/"+path, "", nil)
					require.NoError(t, err, path)
					require.Equal(t, 500, resp.StatusCode, path)
					require.Contains(t, body, want)
					require.Empty(t, resp.Header["Set-Cookie"])
				}
				resp, body, err = s.do("GET", "/run/shop/none", "", nil)
				require.NoError(t, err)
				require.Equal(t, 204, resp.StatusCode)
				require.Empty(t, body)
			})
		}
	}
}

// A WSGI application is told whether threads call it at the same time (PEP 3333).
func TestMultithread(t *testing.T) {
	const code = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [repr(environ['wsgi.multithread']).encode()]\n"
	for _, x := range []struct{ mode, threads, want string }{
		{"import", "1", "False"}, {"import", "8", "True"}, {"fork", "8", "False"}, {"exec", "8", "False"}, {"auto", "8", "True"},
	} {
		s := startCode(t, code, x.mode, "normal", x.threads)
		status, body := s.post("")
		require.Equal(t, 200, status, body)
		require.Equal(t, x.want, body, "%s, %s threads", x.mode, x.threads)
	}
}

// The error for a function without an entry names the entries that it could have.
func TestNoEntry(t *testing.T) {
	for _, x := range []struct {
		file, code string
		env        []string
		want       string
	}{
		{"f.py", "x = 1\n", nil, "f.py has neither f(event) nor main(n, rounds) nor app"},
		{"f.py", "app = 1\n", []string{"OL_WSGI_ENTRY=mine"}, "OL_WSGI_ENTRY=mine: f.py has no such name"},
		{"f.py", "app = 1\n", []string{"OL_ASGI_ENTRY=mine"}, "OL_ASGI_ENTRY=mine: f.py has no such name"},
	} {
		s, said := tryFiles(t, map[string]string{x.file: x.code}, x.env)
		require.Contains(t, said, "error: Traceback")
		require.Contains(t, s.rest(), x.want)
	}
}

// The function's own modules are not hidden by the server's.
func TestModulesOfTheFunction(t *testing.T) {
	s := startFiles(t, map[string]string{"f.py": "import server, keep\ndef f(event):\n    return [server.x, keep.x]\n", "server.py": "x = 1\n", "keep.py": "x = 2\n"}, nil, "import")
	_, body := s.post("1")
	require.Equal(t, "[1, 2]", body)
	s = startFiles(t, map[string]string{"f.py": "def f(event):\n    try:\n        import server\n    except ImportError:\n        return 'none'\n"}, nil, "import")
	_, body = s.post("1")
	require.Equal(t, `"none"`, body)
}

// requirements.txt is compared with the packages that are installed.
func TestRequirements(t *testing.T) {
	const dist = "Metadata-Version: 2.1\nName: My_Package\nVersion: 1.2.0\n"
	code := map[string]string{"f.py": "def f(event):\n    return 1\n"}
	for _, x := range []struct{ text, want string }{
		{"# nothing\n\n--index-url https://x\n", ""},
		{"my-package==1.2.0  # via x\nmy.package\n", ""},
		{"my-package==1.2.0 \\\n    --hash=sha256:1\n", ""},
		{"my-package==1.3\n", "requirements.txt:1: my-package==1.3: the image has my-package 1.2.0"},
		{"\nflask-nothing\nother==2\n", "requirements.txt:2: flask-nothing: the image has no flask-nothing; requirements.txt:3: other==2: the image has no other. Nothing is installed when a function is called: build an image that has them (go run mage.go openlambda:build -packages=python3-flask-nothing,python3-other, or -wheels=FOLDER) and load it"},
		{"-r more.txt\n", "-r more.txt: this "},
	} {
		dir := t.TempDir()
		write(t, dir+"/my_package-1.2.0.dist-info/METADATA", dist)
		code["requirements.txt"] = x.text
		_, said := tryFiles(t, code, []string{"PYTHONPATH=" + dir}, "import")
		if x.want == "" {
			require.Equal(t, "ready\n", said, x.text)
			continue
		}
		require.Contains(t, said, "refused: ")
		require.Contains(t, said, x.want)
	}
}
