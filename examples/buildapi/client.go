package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
)

// A buildClient triggers, watches and cancels builds.
type buildClient struct {
	url  string
	http *http.Client
}

// newBuildClient is where the guarding is done. Everything else is as with any
// http.Client.
func newBuildClient(url string) *buildClient {
	return &buildClient{url: url, http: redoubt.NewClient("builds", func(c *redoubt.ClientConfig) {
		c.Limit = 2 * time.Second
		c.Transport.HeaderTimeout = 200 * time.Millisecond // a hang ends here
		c.Retry.Backoff = retry.FullJitter(10*time.Millisecond, 100*time.Millisecond)
		c.Breaker.FailureRatio = 0.5
		c.Breaker.MinCalls = 12
		c.Breaker.Cooldown = 30 * time.Second
	})}
}

// trigger starts a build and returns its number. With a key the server can tell
// a repetition from a second order, so that the request may be sent again.
// Without one it is sent once, unless it is certain that it did not arrive.
func (c *buildClient) trigger(ctx context.Context, key string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/builds", http.NoBody)
	if err != nil {
		return "", err
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return c.do(req)
}

func (c *buildClient) status(ctx context.Context, id string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/builds/"+id, nil)
	if err != nil {
		return "", err
	}
	return c.do(req)
}

// cancel stops a build. To stop it twice is to stop it: DELETE is retried.
func (c *buildClient) cancel(ctx context.Context, id string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, c.url+"/builds/"+id, nil)
	if err != nil {
		return "", err
	}
	return c.do(req)
}

func (c *buildClient) do(req *http.Request) (string, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // It was read.
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return "", err
	}
	if resp.StatusCode/100 != 2 {
		return "", fmt.Errorf("the build server says %s", resp.Status)
	}
	return string(text), nil
}

// advise tells what to do about an error of a client.
func advise(err error) string {
	var open *breaker.OpenError
	var send *redoubt.SendError
	switch {
	case err == nil:
		return "nothing to do"
	case errors.As(err, &open):
		if after, ok := open.RetryAfter(); ok {
			return fmt.Sprintf("the server was not asked; come back in about %v", after.Round(10*time.Second))
		}
		return "the server was not asked; come back later"
	case errors.As(err, &send) && send.Sent:
		return "the server may have acted on it: look before asking again"
	case errors.As(err, &send):
		return "the server never saw it: ask again"
	default:
		return "ask the server's owner"
	}
}
