package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, nil); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	want := regexp.MustCompile(`^(http://\S+): hg: exit status 255: .*refused
(http://\S+): hg: exit status 255: .*refused
(http://\S+): timeout: exceeded 1s
(http://\S+): timeout: exceeded 1s
(http://\S+): pulled
(http://\S+): it does not have the revision
(http://\S+): pulled
$`)
	who := want.FindStringSubmatch(out.String())
	if who == nil {
		t.Fatalf("got:\n%s\nwant:\n%v", out.String(), want)
	}
	// The first two are asked twice and then left alone.
	if who[1] != who[2] || who[3] != who[4] || who[5] != who[6] || who[6] == who[7] {
		t.Errorf("the servers are not those that were expected:\n%s", out.String())
	}
}

// A password in a URL is for the server only: names of endpoints go into errors
// and telemetry, and what hg says is printed.
func TestRunHidesLogins(t *testing.T) {
	dir := t.TempDir()
	if _, err := hg(t.Context(), "init", dir); err != nil {
		t.Fatal(err)
	}
	l, err := listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refusing := l.Addr().String()
	_ = l.Close()
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "s3cr3t" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte("no repository"))
	}))
	defer html.Close()
	where := strings.TrimPrefix(html.URL, "http://")
	var out bytes.Buffer
	err = run(t.Context(), &out, []string{
		dir, strings.Repeat("ab", 20),
		"http://bob:s3cr3t@" + refusing, "http://s3cr3t@" + refusing, "http://bob:s3cr3t@" + where, "http://s3cr3t@" + where,
	})
	if err == nil {
		t.Fatal("got no error")
	}
	got := out.String() + err.Error()
	if strings.Contains(got, "s3cr3t") || strings.Contains(got, "bob") {
		t.Errorf("a login shows:\n%s", got)
	}
	for _, want := range []string{"http://" + refusing + ": ", "http://" + refusing + " (2): ", html.URL + ": hg: "} {
		if !strings.Contains(got, want) {
			t.Errorf("got no %q in:\n%s", want, got)
		}
	}
}

func TestRunUsage(t *testing.T) {
	if err := run(t.Context(), new(bytes.Buffer), []string{"repo"}); err == nil {
		t.Error("one argument: got no error")
	}
}
