package breakercmd

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/statedir"
)

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []shared.Config{{Name: "a"}, {Name: "b"}, {Name: "hg", Key: "http://h:80"}} {
		c.Store, c.Consecutive = shared.NewFileStore(statedir.Breakers(dir)), 1
		_ = shared.New(c).Do(t.Context(), func(context.Context) error { return errors.New("down") })
	}
	run := func(args ...string) (string, error) {
		t.Helper()
		var out strings.Builder
		cmd := Command()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetOut(&out)
		cmd.SetArgs(append(args, "--state-dir", dir))
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	count := func(want int) {
		t.Helper()
		text, err := run("status", "--json")
		if n := strings.Count(text, `"state":"open"`); n != want || err != nil {
			t.Errorf("%d circuits, want %d: %s, %v", n, want, text, err)
		}
	}
	count(2)
	if text, err := run("status"); err != nil || strings.Count(text, "\n") != 3 {
		t.Errorf("%s%v", text, err)
	}
	if _, err := run("reset"); err == nil {
		t.Error("reset of nothing: got no error")
	}
	if _, err := run("reset", "a", "unknown"); err != nil {
		t.Error(err)
	}
	count(1)
	if _, err := run("reset", "--all"); err != nil {
		t.Error(err)
	}
	count(0)
}
