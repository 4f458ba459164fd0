package failover

import (
	"net/url"
	"strings"
	"testing"
)

func parse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// FuzzRewritten: a request goes to the endpoint's host and below its path,
// whatever the request's URL.
func FuzzRewritten(f *testing.F) {
	for _, seed := range []string{
		"http://a.test/x", "http://a.test/base/../..", "http://a.test/base/%2e%2e/x", "http://a.test/base//b.test/", "http://a.test/base/%zz",
		"//a.test/base/x", "http:base", "http://a.test/base\\x", "http://user@a.test/base/?#", "http://a.test:80/base/;x",
	} {
		f.Add(seed)
	}
	from, to := "http://a.test/base", "https://mirror.test/m"
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil {
			return
		}
		rest, ok := below(parse(t, from), u)
		if !ok {
			return
		}
		out := rewritten(u, parse(t, to), rest)
		if out.Host != "mirror.test" || out.Scheme != "https" || out.User != nil || out.RawQuery != u.RawQuery {
			t.Errorf("%q became %q", raw, out)
		}
		if path := out.EscapedPath(); path != "/m" && !strings.HasPrefix(path, "/m/") || strings.TrimPrefix(path, "/m") != strings.TrimPrefix(u.EscapedPath(), "/base") {
			t.Errorf("%q became path %q", raw, path)
		}
	})
}

// FuzzLabel: no name of an endpoint has what stands before an @ in a URL.
func FuzzLabel(f *testing.F) {
	for _, seed := range []string{"http://u:hunter2@h/", "http://hunter2@h", "ssh://hunter2@[::1]:22/x", "a", "://hunter2@x", "http://u:hunter2@h h", "http://h/@"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		scheme, after, ok := strings.Cut(raw, "://")
		if !ok || strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz") != "" {
			return
		}
		user, _, ok := strings.Cut(after, "@")
		if !ok || strings.ContainsAny(user, "/?#") || !strings.Contains(user, "hunter2") {
			return
		}
		if got := label(raw); strings.Contains(got, "hunter2") && strings.Count(raw, "hunter2") == 1 {
			t.Errorf("label(%q) = %q", raw, got)
		}
	})
}
