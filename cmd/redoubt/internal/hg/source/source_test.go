package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRepositoryRefuses(t *testing.T) {
	for _, text := range []string{
		"", "-", "--config=alias.clone=!touch PWNED", "--config=hooks.pre-clone=x",
		"ssh://-oProxyCommand=touch%20PWNED/x", "ssh://%2DoProxyCommand=x/y", "ssh://-oX@h/y", "ssh://%2doX@h/y",
		"ssh://u:secret@h/y", "ssh://h`x`/y", "ssh://u;x@h/y", "ssh://h%20x/y",
		"bundle:x", "union:a+b", "static-http://h/x", "svn+ssh://h/x", "svn://h/x", "ext::sh", "foo:bar", "HTTPX://h/",
		"http://h/#b", "/tmp/x#b", "http://h/a\nb", "http://h/a\x00b", "http://h/%0Ab", "http://h/\u202eb", "/tmp/a\tb",
		"http://", "http:///x", "http:x", "http://h:/x", "http://h:0/x", "http://h:x/x", "http://h:99999/x",
		"http://h/x?cmd=y", "file://other/x", "file:x", "http://%zz/", "http://h/%zz", "ssh://h?x=y",
	} {
		s, err := Repository("URL", text)
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%q: %v, %v, want an *Error", text, s, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: error tells a secret: %v", text, err)
		}
	}
}

func TestRepositoryAccepts(t *testing.T) {
	for _, tt := range []struct{ text, shown, endpoint string }{
		{"https://hg.mozilla.org/mozilla-unified/", "https://hg.mozilla.org/mozilla-unified", "https://hg.mozilla.org:443"},
		{"HTTP://H:8000", "http://h:8000", "http://h:8000"},
		{"https://u:s3cret@h/r", "https://h/r", "https://h:443"},
		{"https://token@h/a%20b", "https://h/a%20b", "https://h:443"},
		{"ssh://hg@h:2222//srv/r", "ssh://hg@h:2222//srv/r", "ssh://h:2222"},
		{"http://[::1]:8000/r", "http://[::1]:8000/r", "http://::1:8000"},
		{"/srv/r", "/srv/r", "file:///srv/r"},
		{"file:///srv/r/", "/srv/r", "file:///srv/r"},
	} {
		s, err := Repository("URL", tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if s.String() != tt.shown || s.Endpoint() != tt.endpoint {
			t.Errorf("%q: %q at %q, want %q at %q", tt.text, s, s.Endpoint(), tt.shown, tt.endpoint)
		}
	}
}

func TestFileKeepsItsQuerySecret(t *testing.T) {
	s, err := File("--bundle", "https://h/x.hg?signature=s3cret")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(s.String(), "s3cret") {
		t.Errorf("shown as %q", s)
	}
	if got := s.URL().String(); got != "https://h/x.hg?signature=s3cret" {
		t.Errorf("dialled as %q", got)
	}
}

func TestRedact(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"nothing here", "nothing here"},
		{"see https://u:p@h/r now", "see https://***@h/r now"},
		{"https://u:p/w@o@h/r", "https://***@h/r"},
		{"https://h/r?token=x", "https://h/r?***"},
		{"https://h/r#x?y", "https://h/r#***"},
		{"a@b https://h/r", "a@b https://h/r"},
		{"https://u:p@h\nhttps://v:q@i", "https://***@h\nhttps://***@i"},
	} {
		if got := Redact(tt.text); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestParseRevision(t *testing.T) {
	full := strings.Repeat("8f4c7ce0", 5)
	for _, text := range []string{
		"", "-1", "--config=hooks.x=y", ".", ".hg", "null", "NULL", strings.Repeat("f", 40), strings.Repeat("F", 12),
		strings.Repeat("0", 40), strings.Repeat("0", 12), "0", "12345", "a b", "a:b", "a\nb", "all()", "x%0a", full + "0", "é",
	} {
		if r, err := ParseRevision("--rev", text); err == nil {
			t.Errorf("%q is accepted as %+v", text, r)
		}
	}
	for text, hash := range map[string]bool{
		full: true, strings.ToUpper(full): true, full[:12]: true, "123456789012": true, "cafe": false, full[:11]: false,
		"default": false, "FIREFOX_99_0_RELEASE": false, "release/1.0": false, "tip": false, "ffff": false,
	} {
		r, err := ParseRevision("--rev", text)
		if err != nil || r.IsHash() != hash {
			t.Errorf("%q: %+v, %v, want hash %v", text, r, err, hash)
		}
	}
}

func TestDest(t *testing.T) {
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/", link); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"", "/", "//", "/..", home, home + "/..", home + "/.", "a\nb", store, store + "/x", dir, link, dir + "/.hg",
	} {
		if got, err := Dest("DEST", text, store); err == nil {
			t.Errorf("%q is accepted as %q", text, got)
		}
	}
	for _, text := range []string{dir + "/d", "-x", "./--config=x"} {
		got, err := Dest("DEST", text, store)
		if err != nil || !filepath.IsAbs(got) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func FuzzRepository(f *testing.F) {
	for _, seed := range []string{"https://u:s@h:1/p", "ssh://-x/y", "bundle:x", "/a", "file:///a", "http://h/%0a", "http://[::1]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Repository("URL", text)
		if err != nil {
			return
		}
		operand := s.Operand()
		if operand == "" || operand[0] == '-' || strings.ContainsAny(operand, "\n\x00#") {
			t.Errorf("%q: operand %q", text, operand)
		}
		if _, password, _ := s.Login(); len(password) > 8 && strings.Contains(s.String(), password) {
			t.Errorf("%q: shown as %q", text, s)
		}
		again, err := Repository("URL", operand)
		if err != nil || again.String() != operand {
			t.Errorf("%q: operand %q is judged otherwise: %q, %v", text, operand, again, err)
		}
	})
}

func FuzzParseRevision(f *testing.F) {
	for _, seed := range []string{"default", "8f4c7ce0a3de", "ffffffffffff", "-1", "null", "a:b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRevision("--rev", text)
		if err != nil {
			return
		}
		if strings.ContainsAny(r.String(), " \n\x00:'\"()|&!~^%") || r.String()[0] == '-' {
			t.Errorf("%q is accepted", text)
		}
	})
}
