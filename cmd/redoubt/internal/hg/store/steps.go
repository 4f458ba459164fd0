package store

import (
	"context"
	"strconv"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/remote"
)

// firstStep is how many revisions the first step takes; a step that comes
// through doubles, one that breaks off halves.
const firstStep = 64

// stride decides how far the next step goes.
type stride struct {
	have int // the source's number of the last revision that came
	size int
	most int // what broke off last; 0 if nothing has
}

func (s *stride) next() int { return s.have + s.size }

// came takes the step, and makes the next one longer, but not as long as what
// broke off.
func (s *stride) came() {
	s.have += s.size
	grown := 2 * s.size
	if s.most > 0 && grown >= s.most {
		grown = max(s.size, s.most*3/4)
		s.most += s.most/4 + 1
	}
	s.size = grown
}

// broke makes the next step shorter, and reports whether there is a shorter one.
func (s *stride) broke() bool {
	s.most = s.size
	s.size /= 2
	return s.size > 0
}

// steps pulls by numbers of the source's, which count its revisions, as long as
// there are more than a step, and then node. A revision may break off twice
// before the source is given up.
func (f *Fetch) steps(ctx context.Context, r *remote.Remote, repo, node string) error {
	// Beyond the last number, hg would take one for the beginning of a hash.
	count, err := r.Count(ctx)
	if err != nil {
		return err
	}
	s := stride{have: -1, size: min(firstStep, max(count/2, 1))}
	spent := false
	for {
		last := s.next() >= count-1
		if last {
			err = r.Pull(ctx, repo, node)
		} else {
			err = r.Pull(ctx, repo, strconv.Itoa(s.next()))
		}
		switch {
		case err == nil && last:
			return nil
		case err == nil:
			s.came()
			spent = false
			f.Report.Detail("%s: %d of %d revisions", r.Source, s.have+1, count)
			continue
		case ctx.Err() != nil || Local(err) || !broken(err):
			return err
		}
		if err := settle(repo); err != nil {
			return err
		}
		if s.broke() {
			continue
		}
		if spent {
			return err
		}
		spent, s.size = true, 1
	}
}
