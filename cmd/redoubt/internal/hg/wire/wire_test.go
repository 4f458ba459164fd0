package wire

import (
	"reflect"
	"strings"
	"testing"
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
