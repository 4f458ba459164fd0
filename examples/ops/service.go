package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// A service calls payment providers over HTTP, shards of a search index, and a
// mail relay, and all of them have their bad minutes.
type service struct {
	start     time.Time
	providers []*http.Server
	urls      []string

	payments *http.Client
	search   redoubt.Stack
	mail     redoubt.Stack
}

func newService(ctx context.Context) (*service, error) {
	s := &service{start: time.Now()}
	s.payments = redoubt.NewClient("payments", func(c *redoubt.ClientConfig) {
		c.Limit = 2 * time.Second
		c.Transport.HeaderTimeout = 500 * time.Millisecond
		c.Breaker.Window = 5 * time.Second
		c.Breaker.Cooldown = 2 * time.Second
		c.Breaker.MaxCooldown = 8 * time.Second
	})
	s.search = redoubt.Stack{
		limit.New(limit.Config{Name: "search", Max: 40}),
		retry.Policy{Budget: retry.NewBudget(retry.BudgetConfig{Name: "search"})},
		breaker.NewGroup(breaker.GroupConfig{
			Breaker: breaker.Config{
				Name:         "search",
				Window:       5 * time.Second,
				FailureRatio: 0.5,
				SlowCall:     60 * time.Millisecond,
				SlowRatio:    0.4,
				Cooldown:     3 * time.Second,
				MaxCooldown:  6 * time.Second,
			},
			Key: shardOf,
		}),
		timeout.Limit(100 * time.Millisecond),
	}
	s.mail = redoubt.Stack{limit.New(limit.Config{Name: "mail relay", Fixed: 4}), breaker.New(breaker.Config{Name: "mail relay", Consecutive: 5, Cooldown: 4 * time.Second})}
	for i := range 3 {
		if err := s.provide(ctx, i); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *service) layers() []redoubt.Layer { return []redoubt.Layer{s.search, s.mail} }

// provide starts the provider i. The first is down for eight seconds out of twenty,
// the second fails now and then.
func (s *service) provide(ctx context.Context, i int) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			switch {
			case i == 0 && s.phase(20*time.Second) > 12*time.Second:
				w.WriteHeader(http.StatusServiceUnavailable)
			case i == 1 && rand.Float64() < 0.15:
				w.WriteHeader(http.StatusBadGateway)
			}
		}),
	}
	s.providers = append(s.providers, server)
	s.urls = append(s.urls, "http://"+listener.Addr().String()+"/pay")
	go func() { _ = server.Serve(listener) }()
	return nil
}

func (s *service) close() {
	for _, server := range s.providers {
		_ = server.Close()
	}
}

// phase is how far the current turn of a cycle is.
func (s *service) phase(cycle time.Duration) time.Duration { return time.Since(s.start) % cycle }

const shards = 6

type shardKey struct{}

func shardOf(ctx context.Context) string {
	shard, _ := ctx.Value(shardKey{}).(string)
	return shard
}

// work makes calls until ctx ends.
func (s *service) work(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, url := range s.urls {
		wg.Go(func() { repeat(ctx, 40*time.Millisecond, func() { s.pay(ctx, url) }) })
	}
	for i := range shards {
		ctx := context.WithValue(ctx, shardKey{}, fmt.Sprintf("shard-%d", i+1))
		wg.Go(func() {
			repeat(ctx, 50*time.Millisecond, func() {
				_ = s.search.Do(ctx, func(ctx context.Context) error { return s.look(ctx, i) })
			})
		})
	}
	wg.Go(func() {
		repeat(ctx, 200*time.Millisecond, func() { _ = s.mail.Do(ctx, s.send) })
	})
}

func repeat(ctx context.Context, every time.Duration, do func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

func (s *service) pay(ctx context.Context, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return
	}
	if resp, err := s.payments.Do(req); err == nil {
		_ = resp.Body.Close()
	}
}

// look asks a shard. The third is slow for ten seconds out of thirty.
func (s *service) look(ctx context.Context, shard int) error {
	took := time.Duration(rand.Int64N(int64(20 * time.Millisecond)))
	if shard == 2 && s.phase(30*time.Second) > 20*time.Second {
		took += 70 * time.Millisecond
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(took):
	}
	if rand.Float64() < 0.01 {
		return errors.New("search: shard is being moved")
	}
	return nil
}

// send hands a letter to the relay, which is down for eight seconds of forty.
func (s *service) send(context.Context) error {
	if s.phase(40*time.Second) > 32*time.Second {
		return errors.New("dial tcp 10.0.4.17:25: connect: connection refused")
	}
	return nil
}
