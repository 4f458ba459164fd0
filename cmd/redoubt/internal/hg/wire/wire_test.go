package wire

import (
	"reflect"
	"strings"
	"testing"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

func TestParseManifest(t *testing.T) {
	got := parseManifest("https://h/a.hg BUNDLESPEC=zstd-v2 REQUIRESNI=true\n\nhttps://h/b%20c.hg BUNDLESPEC=none-packed1%3Brequirements%3Dx odd\n")
	want := []Bundle{
		{URL: "https://h/a.hg", Attributes: map[string]string{"BUNDLESPEC": "zstd-v2", "REQUIRESNI": "true"}},
		{URL: "https://h/b%20c.hg", Attributes: map[string]string{"BUNDLESPEC": "none-packed1;requirements=x"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// A server says in one way that it has no such revision and that something broke
// in it. Only the first is an answer: the texts are those of Mercurial 6.3.
func TestParseLookup(t *testing.T) {
	node := strings.Repeat("ab", 20)
	tests := []struct {
		answer, revision string
		want             string
		err              string
	}{
		{"1 " + node + "\n", "tip", node, ""},
		{"1 " + source.NullNode + "\n", "0", source.NullNode, ""}, // nothing in it
		{"0 unknown revision '900'\n", "900", "", "unknown revision"},
		{"0 unbekannte Revision 'foo'\n", "foo", "", "unknown revision"},
		{"0 unknown revision 'Zweig-?'\n", "Zweig-ü", "", "unknown revision"},
		{"0 00changelog@a: ambiguous identifier\n", "a", "", "unknown revision"},
		{"0 00changelog@abc: mehrdeutig\n", "abc", "", "unknown revision"},
		{"0 hidden revision 'abc'\n", "abc", "", "unknown revision"},
		{"0 module 'mercurial.changelog' has no attribute 'changelog'\n", "0", "", "lookup: the server failed: \"module 'mercurial.changelog' has no attribute 'changelog'\""},
		{"0 [Errno 24] Too many open files: '/repo/.hg/store/00changelog.i'\n", "0", "", "lookup: the server failed: \"[Errno 24] Too many open files: '/repo/.hg/store/00changelog.i'\""},
		{"0\n", "0", "", "lookup: the server failed: \"\""},
		{"<html>", "0", "", "lookup: not a Mercurial server, the answer to lookup is \"<html>\""},
		{"1 beef", "0", "", "lookup: not a Mercurial server, the answer to lookup is \"1 beef\""},
	}
	for _, tt := range tests {
		got, err := parseLookup(tt.answer, tt.revision)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if got != tt.want || said != tt.err {
			t.Errorf("%q for %s: %q, %s, want %q, %s", tt.answer, tt.revision, got, said, tt.want, tt.err)
		}
	}
}

func TestUsable(t *testing.T) {
	for spec, want := range map[string]bool{
		"gzip-v1": true, "zstd-v2": true, "none-packed1;requirements=revlogv1": true, "none-v2;stream=v2": true,
		"gzip-v3": false, "lzma-v2": false, "": false, "gzip": false,
	} {
		if got := (Bundle{Attributes: map[string]string{"BUNDLESPEC": spec}}).Usable(); got != want {
			t.Errorf("%q: %v", spec, got)
		}
	}
	if !(Bundle{}).Usable() {
		t.Error("one without a spec is worth a try")
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add("https://h/a.hg BUNDLESPEC=zstd-v2\n")
	f.Add("a b=%zz c=%41")
	f.Fuzz(func(t *testing.T, text string) {
		for _, b := range parseManifest(text) {
			if b.URL == "" || strings.ContainsAny(b.URL, " \n") {
				t.Errorf("URL %q", b.URL)
			}
			b.Usable()
		}
	})
}
