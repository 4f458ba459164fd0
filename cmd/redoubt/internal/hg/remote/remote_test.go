package remote

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

func TestCount(t *testing.T) {
	for want := range 300 {
		asked := 0
		got, err := count(func(n int) (bool, error) {
			asked++
			return n <= want, nil
		})
		if got != want || err != nil || asked > 18 {
			t.Errorf("got %d of %d, %v, after %d questions", got, want, err, asked)
		}
	}
	if _, err := count(func(int) (bool, error) { return true, nil }); err == nil {
		t.Error("a source without end has no error")
	}
	broken := errors.New("broken")
	if _, err := count(func(n int) (bool, error) { return n < 9, map[bool]error{true: broken}[n > 9] }); !errors.Is(err, broken) {
		t.Errorf("err = %v", err)
	}
}

// TestFirst: sources are asked in order and never when they are out, one that is
// there twice included; what is our own trouble ends the search.
func TestFirst(t *testing.T) {
	errTheirs, errOurs := errors.New("theirs"), errors.New("ours")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name  string
		ctx   context.Context //nolint:containedctx // It is the case's input.
		out   string
		says  map[byte]error
		asked string
		want  error
	}{
		{"the first", t.Context(), "", nil, "a", nil},
		{"the first that is not out", t.Context(), "a", nil, "b", nil},
		{"the first that works", t.Context(), "", map[byte]error{'a': errTheirs}, "ab", nil},
		{"none works", t.Context(), "", map[byte]error{'a': errTheirs, 'b': errTheirs, 'c': errTheirs}, "abc", ErrNone},
		{"all out", t.Context(), "abc", nil, "", ErrNone},
		{"ours", t.Context(), "", map[byte]error{'a': errTheirs, 'b': errOurs}, "ab", errOurs},
		{"over before", ended, "", nil, "", context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var remotes []*Remote
			names := map[*Remote]byte{}
			for _, name := range []byte("abc") {
				s, err := source.Repository("URL", "https://user@same.test/repo")
				if err != nil {
					t.Fatal(err)
				}
				r := New(Config{Source: s})
				if strings.IndexByte(tt.out, name) >= 0 {
					r.Out = errTheirs
				}
				remotes, names[r] = append(remotes, r), name
			}
			asked := ""
			_, err := First(tt.ctx, remotes, func(err error) bool { return err == errOurs }, func(_ context.Context, r *Remote) (int, error) {
				asked += string(names[r])
				return 0, tt.says[names[r]]
			})
			if asked != tt.asked || !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("asked %q, %v, want %q, %v", asked, err, tt.asked, tt.want)
			}
		})
	}
}
