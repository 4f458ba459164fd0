package hgcmd_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var quiet = log.New(io.Discard, "", 0)

func TestHg_01_Fresh(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	s := serve(t, src.dir)
	d := h.path("d")
	r := h.run("--rev", src.tip, s.url, d).want(t, 0)
	if !strings.HasSuffix(r.stdout, src.tip+"\n") {
		t.Errorf("stdout %q", r.stdout)
	}
	wantCopy(t, d, src.tip)
	wantSound(t, d)
	if hgrc, _ := os.ReadFile(filepath.Join(d, ".hg", "hgrc")); string(hgrc) != "[paths]\ndefault = "+s.url+"\n" {
		t.Errorf("hgrc:\n%s", hgrc)
	}
	if entries, _ := os.ReadDir(filepath.Dir(d)); len(entries) != 1 {
		t.Errorf("left beside it: %v", entries)
	}
}

func TestHg_02_Offline(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	f := before(t, serve(t, src.dir).url, nil)
	h.run("--rev", src.tip, f.URL, "d").want(t, 0)
	n := len(f.commands())
	r := h.run("--rev", src.tip, f.URL, "d").want(t, 0)
	if len(f.commands()) != n {
		t.Errorf("asked again: %v", f.commands()[n:])
	}
	if r.took > 20*time.Second {
		t.Errorf("took %v", r.took)
	}
	// Another revision that is here needs no network either.
	f.CloseNow()
	older := src.node(t, "2")
	h.run("--rev", older[:12], f.URL, "d").want(t, 0)
	wantCopy(t, h.path("d"), older)
}

func TestHg_03_Refused(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	r := h.run("--rev", src.tip, "--attempts", "2", "--budget", "10s", refusing(t), "d").want(t, 69)
	if r.took > 10*time.Second {
		t.Errorf("took %v", r.took)
	}
	wantAbsent(t, h.path("d"))
	if n := strings.Count(r.stderr, ": attempt "); n != 2 || strings.Count(r.stderr, "refused") < 2 {
		t.Errorf("%d attempts told:\n%s", n, r.stderr)
	}
}

func TestHg_04_BlackHole(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			h, src := newHome(t), small(t)
			hole := blackHole(t)
			r := h.run("--rev", src.tip, "--first-byte-timeout", "2s", "--attempts", "2", scheme+"://"+hole.Addr().String(), "d").want(t, 69)
			if r.took > 10*time.Second {
				t.Errorf("took %v", r.took)
			}
			if hole.conns.Load() != 2 {
				t.Errorf("%d connections, want 2", hole.conns.Load())
			}
			wantAbsent(t, h.path("d"))
		})
	}
}

func TestHg_05_Stall(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	s := serve(t, src.dir)
	stalling := before(t, s.url, on("getbundle", 0, func(w http.ResponseWriter, r *http.Request, _ string, _ int) bool {
		w.Header().Set("Content-Type", "application/mercurial-0.2")
		w.WriteHeader(http.StatusOK)
		w.Write([]byte("\x04zstd"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}))
	r := h.run("--rev", src.tip, "--stall-timeout", "3s", "--rounds", "1", "--mirror", stalling.URL, s.url, "d").want(t, 0)
	if r.took > 40*time.Second {
		t.Errorf("took %v", r.took)
	}
	wantCopy(t, h.path("d"), src.tip)
}

func TestHg_06_Trickle(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), big(t)
	s := serve(t, src.dir)
	slow := through(t, s.url, "getbundle", func(w http.ResponseWriter) http.ResponseWriter {
		return &slowly{ResponseWriter: w, rate: 300_000}
	})
	r := h.run("--json", "--rev", src.tip, "--min-rate", "1MB/s", "--rounds", "1", "--mirror", slow.URL, s.url, "d").want(t, 0)
	if got := r.json(t); got.Source != s.url {
		t.Errorf("source %s", got.Source)
	}
	if !strings.Contains(r.stderr, "bytes a second, less than 1000000") {
		t.Errorf("the floor is not told of")
	}
	wantCopy(t, h.path("d"), src.tip)
}

func TestHg_07_Steps(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), big(t)
	s := serve(t, src.dir)
	cutting := through(t, s.url, "getbundle", func(w http.ResponseWriter) http.ResponseWriter {
		return &cutter{w, 5 << 20}
	})
	r := h.run("--json", "--rev", src.tip, cutting.URL, "d").want(t, 0)
	wantCopy(t, h.path("d"), src.tip)
	wantSound(t, h.path("d"))
	if got := r.json(t); got.Steps < 4 {
		t.Errorf("%d pulls", got.Steps)
	}
}

func TestHg_08_RetryAfter(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	f := before(t, serve(t, src.dir).url, on("getbundle", 2, func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool {
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}))
	r := h.run("--json", "--rev", src.tip, f.URL, "d").want(t, 0)
	got := r.json(t)
	if r.took < 4*time.Second || got.Waited < 4 {
		t.Errorf("took %v, waited %v s, want 2 s twice", r.took, got.Waited)
	}
	if got.Steps != 1 || f.count("getbundle") != 3 {
		t.Errorf("hg pulled %d times, %d requests", got.Steps, f.count("getbundle"))
	}
}

func TestHg_09_Statuses(t *testing.T) {
	t.Parallel()
	for _, code := range []int{429, 500, 502, 504} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			t.Parallel()
			h, src := newHome(t), small(t)
			f := before(t, serve(t, src.dir).url, on("getbundle", 1, status(code)))
			h.run("--rev", src.tip, f.URL, "d").want(t, 0)
			if f.count("getbundle") != 2 {
				t.Errorf("%d requests", f.count("getbundle"))
			}
		})
	}
	for _, code := range []int{404, 403, 401} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			t.Parallel()
			h, src := newHome(t), small(t)
			s := serve(t, src.dir)
			f := before(t, s.url, status(code))
			h.run("--rev", src.tip, "--mirror", f.URL, s.url, "d").want(t, 0)
			if n := len(f.commands()); n != 1 {
				t.Errorf("%d requests: %v", n, f.commands())
			}
		})
	}
}

func TestHg_10_CutHandshake(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"capabilities", "batch", "getbundle"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			h, src := newHome(t), small(t)
			f := before(t, serve(t, src.dir).url, on(command, 1, func(http.ResponseWriter, *http.Request, string, int) bool {
				panic(http.ErrAbortHandler)
			}))
			h.run("--rev", src.tip, f.URL, "d").want(t, 0)
			wantCopy(t, h.path("d"), src.tip)
		})
	}
}

func TestHg_11_CaptivePortal(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html>please log in</html>")
	}))
	t.Cleanup(portal.Close)
	r := h.run("--rev", src.tip, "--mirror", portal.URL, serve(t, src.dir).url, "d").want(t, 0)
	if n := strings.Count(r.stderr, portal.URL); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// newTLS puts TLS before a backend and returns the file with its certificate.
func newTLS(t testing.TB, backend string) (*faulty, string) {
	t.Helper()
	f := newFaulty(t, backend, nil)
	f.Server = httptest.NewUnstartedServer(f.Config.Handler)
	f.Config.ErrorLog = quiet
	f.StartTLS()
	t.Cleanup(f.CloseNow)
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
	write(t, file, string(block))
	return f, file
}

func TestHg_31_TLS(t *testing.T) {
	t.Parallel()
	src := small(t)
	f, ca := newTLS(t, serve(t, src.dir).url)
	h := newHome(t, "SSL_CERT_FILE="+ca)
	h.run("--rev", src.tip, f.URL, "d").want(t, 0)
	wantCopy(t, h.path("d"), src.tip)
}

func TestHg_32_Untrusted(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	s := serve(t, src.dir)
	f, _ := newTLS(t, s.url)
	r := h.run("--rev", src.tip, f.URL, "d").want(t, 77)
	wantAbsent(t, h.path("d"))
	if n := strings.Count(r.stderr, ": attempt "); n != 1 {
		t.Errorf("%d attempts", n)
	}
	h.run("--insecure", "--rev", src.tip, f.URL, "d").want(t, 2)
}

func TestHg_33_Redirect(t *testing.T) {
	t.Parallel()
	src := small(t)
	s := serve(t, src.dir)
	same := before(t, s.url, func(w http.ResponseWriter, r *http.Request, _ string, _ int) bool {
		if strings.HasPrefix(r.URL.Path, "/old") {
			http.Redirect(w, r, "/?"+r.URL.RawQuery, http.StatusMovedPermanently)
			return true
		}
		return false
	})
	h := newHome(t)
	h.run("--rev", src.tip, same.URL+"/old", "d").want(t, 0)
	other := before(t, s.url, func(w http.ResponseWriter, r *http.Request, _ string, _ int) bool {
		http.Redirect(w, r, strings.Replace(s.url, "127.0.0.1", "localhost", 1)+"/?"+r.URL.RawQuery, http.StatusFound)
		return true
	})
	r := h.run("--rev", src.tip, other.URL, "e").want(t, 69)
	if !strings.Contains(r.stderr, "redirected to") {
		t.Error("the redirect is not told of")
	}
}
