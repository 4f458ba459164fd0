package store

import (
	"context"
	"strconv"
	"strings"

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

// steps pulls by numbers of the source's, which count its revisions, until there
// are no more, and then node. A revision may break off twice before the source
// is given up.
func (f *Fetch) steps(ctx context.Context, r *remote.Remote, repo, node string) error {
	s := stride{have: -1, size: firstStep}
	spent := false
	for {
		err := r.Pull(ctx, repo, strconv.Itoa(s.next()))
		if err != nil && unknown(err) {
			// Beyond the end: what is left is less than a step.
			if err = r.Pull(ctx, repo, node); err == nil {
				return nil
			}
		} else if err == nil {
			s.came()
			spent = false
			f.Report.Detail("%s: %d revisions", r.Source, s.have+1)
			continue
		}
		if ctx.Err() != nil || Local(err) || !broken(err) {
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

// unknown reports whether the source has no revision of that number.
func unknown(err error) bool {
	return strings.Contains(remote.Verdict(err).Message, "unknown revision")
}
