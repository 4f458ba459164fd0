package remote

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/failover"
)

// ErrNone says that no source could do what was asked of it. Why is in their
// states.
var ErrNone = errors.New("no source could help")

// First runs fn at one source after the other, until it works, and returns its
// result. Sources that are out are skipped. An error that is ours, so that no
// other source could help, is returned as it is, and so is that of a run that is
// over; if every source has failed the error is ErrNone. It is for fn to drop a
// source.
func First[T any](ctx context.Context, remotes []*Remote, ours func(error) bool, fn func(context.Context, *Remote) (T, error)) (T, error) {
	var names []string
	for i, r := range remotes {
		names = append(names, fmt.Sprintf("%d: %s", i, r.Source)) // one may be there twice
	}
	of := func(name string) *Remote {
		number, _, _ := strings.Cut(name, ":")
		i, _ := strconv.Atoi(number) // we wrote it
		return remotes[i]
	}
	sources := failover.New(failover.Config{
		Name:      "hg sources",
		Endpoints: names,
		Guard:     func(name string) failover.Layer { return redoubt.LayerFunc(of(name).guard) },
		TryNext:   func(err error) bool { return !ours(err) },
	})
	var last error
	result, err := failover.Do(ctx, sources, func(ctx context.Context, name string) (T, error) {
		var result T
		result, last = fn(ctx, of(name))
		return result, last
	})
	switch {
	case err == nil:
		return result, nil
	case ctx.Err() != nil && last == nil:
		return result, context.Cause(ctx)
	case ctx.Err() != nil, last != nil && ours(last):
		return result, last
	default:
		return result, ErrNone
	}
}

// guard runs call unless the source is out.
func (r *Remote) guard(ctx context.Context, call func(context.Context) error) error {
	if r.Out != nil {
		return outError{r.Out}
	}
	return call(ctx)
}

// outError says that a source was not asked as it is out.
type outError struct{ error }

func (e outError) Unwrap() error { return e.error }
func (outError) Rejected() bool  { return true }
