package bench

import (
	"net/http"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

func redoubtTransport(base http.RoundTripper) http.RoundTripper {
	return &redoubt.Transport{Base: base, Layer: redoubt.Stack{
		timeout.Limit(limit),
		retry.Policy{MaxAttempts: attempts},
		breaker.New(ratioConfig),
	}}
}

func redoubtUntimed(base http.RoundTripper) http.RoundTripper {
	return &redoubt.Transport{Base: base, Layer: redoubt.Stack{
		retry.Policy{MaxAttempts: attempts},
		breaker.New(ratioConfig),
	}}
}
