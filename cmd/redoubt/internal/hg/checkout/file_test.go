package checkout

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWithDefaultPath(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"none", "", "[paths]\ndefault = U\n"},
		{"same", "[paths]\ndefault = U\n", "[paths]\ndefault = U\n"},
		{"other", "[paths]\ndefault=V\nx = y\n", "[paths]\ndefault = U\nx = y\n"},
		{"twice", "[paths]\ndefault = V\ndefault = W\n", "[paths]\ndefault = U\n"},
		{"missing", "[paths]\nx = y\n[ui]\nz = 1\n", "[paths]\nx = y\ndefault = U\n[ui]\nz = 1\n"},
		{"last", "[ui]\nz = 1\n[paths]\nx = y", "[ui]\nz = 1\n[paths]\nx = y\ndefault = U\n"},
		{"no section", "[ui]\nz = 1", "[ui]\nz = 1\n[paths]\ndefault = U\n"},
	} {
		got := withDefaultPath(tt.text, "U")
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if again := withDefaultPath(got, "U"); again != got {
			t.Errorf("%s: not the same again: %q", tt.name, again)
		}
	}
}

func FuzzWithDefaultPath(f *testing.F) {
	f.Add("[paths]\ndefault = x\n[ui]\n")
	f.Fuzz(func(t *testing.T, text string) {
		got := withDefaultPath(text, "https://h/r")
		if !strings.Contains(got, "default = https://h/r\n") {
			t.Errorf("%q: %q has no path", text, got)
		}
		if again := withDefaultPath(got, "https://h/r"); again != got {
			t.Errorf("%q: %q, then %q", text, got, again)
		}
	})
}

func TestPlace(t *testing.T) {
	for _, tt := range []struct {
		name  string
		there func(path string) error
	}{
		{"nothing", func(string) error { return nil }},
		{"empty directory", func(path string) error { return os.Mkdir(path, 0o755) }},
		{"directory", func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o755) }},
		{"file", func(path string) error { return os.WriteFile(path, nil, 0o600) }},
		{"link", func(path string) error { return os.Symlink("nowhere", path) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			temp, path := filepath.Join(dir, "d.tmp-1"), filepath.Join(dir, "d")
			if err := os.MkdirAll(filepath.Join(temp, "new"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := tt.there(path); err != nil {
				t.Fatal(err)
			}
			if err := Place(temp, path); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(path, "new")); err != nil {
				t.Error(err)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("left: %v", entries)
			}
		})
	}
}

func TestExchangeSlowly(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	os.WriteFile(a, []byte("a"), 0o600)
	os.WriteFile(b, []byte("b"), 0o600)
	if err := exchangeSlowly(a, b); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(b); string(text) != "a" {
		t.Errorf("b holds %q", text)
	}
	if text, _ := os.ReadFile(a); string(text) != "b" {
		t.Errorf("a holds %q", text)
	}
}
