package runcmd

import (
	"os/exec"
	"strings"
	"testing"
	"unicode"
)

func TestQuote(t *testing.T) {
	for _, tt := range []struct{ word, want string }{
		{"", "''"},
		{"./a-b_c.d", "./a-b_c.d"},
		{"a b", "'a b'"},
		{"it's", `'it'\''s'`},
		{"$(x)", "'$(x)'"},
		{"~", "'~'"},
		{"ä", "'ä'"},
		{"a\nb\x1b[2J", `$'a\nb\033[2J'`},
		{"\xff'\\", `$'\377\'\\'`},
	} {
		if got := quoteWord(tt.word); got != tt.want {
			t.Errorf("quoteWord(%q) = %s, want %s", tt.word, got, tt.want)
		}
	}
}

func TestShowHidesLogins(t *testing.T) {
	got := show([]string{"curl", "https://bob:s3cr3t@h.example/a@b", "-x=http://tok3n@h", "a@b"})
	want := "curl 'https://***@h.example/a@b' '-x=http://***@h' a@b"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzQuote asks a shell.
func FuzzQuote(f *testing.F) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		f.Fatal("there is no bash to ask")
	}
	for _, s := range []string{"", "a b", "it's", "a\nb", "\xff", "-n", "!!", "\x7f", "€\u202e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			return // no argument holds a NUL
		}
		quoted := quote([]string{s, "end"})
		if strings.ContainsFunc(quoted, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q can't be printed", quoted)
		}
		out, err := exec.Command(bash, "-c", `printf '%s\0' `+quoted).Output()
		if err != nil || string(out) != s+"\x00end\x00" {
			t.Fatalf("%s is read as %q, %v; want %q", quoted, out, err, s)
		}
	})
}
