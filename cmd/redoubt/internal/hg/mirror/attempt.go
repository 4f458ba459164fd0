package mirror

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/retry"
)

// attempts is what stands between the layers and the network: it sees every
// attempt.
type attempts struct{ mirror *Mirror }

// RoundTrip makes one attempt.
func (a attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	x, _ := req.Context().Value(exchangeKey{}).(*exchange)
	waited := x.begin()
	resp, err := a.mirror.base.RoundTrip(req)
	switch {
	case err != nil:
		if cause := context.Cause(req.Context()); cause != nil {
			err = cause
		}
		a.failed(req, x, waited, classify.Transport(err))
	case resp.StatusCode >= http.StatusBadRequest:
		a.failed(req, x, waited, classify.Status(resp.StatusCode))
	}
	return resp, err
}

// CloseIdleConnections passes on what the layers ask for.
func (a attempts) CloseIdleConnections() { a.mirror.base.CloseIdleConnections() }

func (a attempts) failed(req *http.Request, x *exchange, waited time.Duration, v classify.Verdict) {
	x.failed()
	if a.mirror.config.Attempted == nil || errors.Is(req.Context().Err(), context.Canceled) && v.Reaction == classify.Unknown {
		return
	}
	a.mirror.config.Attempted(Attempt{
		Source:  a.mirror.config.Source.String(),
		Command: x.command(),
		Ordinal: max(retry.Attempt(req.Context()), 1),
		Of:      a.mirror.config.Limits.Attempts,
		Waited:  waited,
		Verdict: v,
	})
}

func isURLError(err error) bool {
	_, ok := errors.AsType[*url.Error](err)
	return ok
}
