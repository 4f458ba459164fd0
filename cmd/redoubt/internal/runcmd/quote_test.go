package runcmd

import (
	"bufio"
	"io"
	"os/exec"
	"slices"
	"strconv"
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
	if _, err := exec.LookPath("bash"); err != nil {
		f.Fatal("there is no bash to ask")
	}
	for _, s := range []string{"", "a b", "it's", "a\nb", "\xff", "-n", "!!", "\x7f", "€\u202e"} {
		f.Add(s)
	}
	var bash shell
	f.Cleanup(bash.stop)
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			return // no argument holds a NUL
		}
		quoted := quote([]string{s, "end"})
		if strings.ContainsFunc(quoted, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q can't be printed", quoted)
		}
		got, err := bash.words(quoted)
		if want := []string{s, "end"}; err != nil || !slices.Equal(got, want) {
			t.Fatalf("%s is read as %q, %v; want %q", quoted, got, err, want)
		}
	})
}

// A shell is a bash that splits one line after the other into words: a process
// for each would take most of the time of fuzzing. It starts when it is asked,
// and anew after an error.
type shell struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (s *shell) words(line string) ([]string, error) {
	if s.cmd == nil {
		if err := s.start(); err != nil {
			return nil, err
		}
	}
	words, err := s.ask(line)
	if err != nil {
		s.stop()
	}
	return words, err
}

func (s *shell) start() error {
	cmd := exec.Command("bash", "-c", `
		words() { printf '%d\0' $#; printf '%s\0' "$@"; }
		while IFS= read -r line; do eval "words $line" </dev/null || exit; done`)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	*s = shell{cmd, in, bufio.NewReader(out)}
	return nil
}

func (s *shell) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.in.Close() // ends the loop
	_ = s.cmd.Wait()
	*s = shell{}
}

func (s *shell) ask(line string) ([]string, error) {
	if _, err := io.WriteString(s.in, line+"\n"); err != nil {
		return nil, err
	}
	count, err := s.word()
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		if words[i], err = s.word(); err != nil {
			return nil, err
		}
	}
	return words, nil
}

func (s *shell) word() (string, error) {
	word, err := s.out.ReadString(0)
	return strings.TrimSuffix(word, "\x00"), err
}
