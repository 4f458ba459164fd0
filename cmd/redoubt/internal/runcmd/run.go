package runcmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/proc"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/statedir"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// A runner is one run of redoubt run. A stack never runs its call twice at the
// same time, so nothing here needs a lock.
type runner struct {
	*options
	args   []string
	stdin  *input
	stderr io.Writer

	start   time.Time
	runs    int           // of the command, so far
	waited  time.Duration // between attempts
	attempt attempt       // the last or running one
}

// An attempt is what retry.Policy takes for one. A breaker may refuse it before
// the command is run.
type attempt struct {
	ordinal      int
	began, ended time.Time
	err          error
}

// run runs the command until it succeeds or there is a reason to stop.
func (r *runner) run(ctx context.Context) error {
	stack, err := r.stack()
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	r.start = time.Now()
	err = stack.Do(ctx, r.command)
	code := exitCode(err)
	if errors.Is(err, breaker.ErrOpen) && code == exit.Failure {
		code = exit.BreakerOpen
	}
	r.sumUp(err, code)
	return exit.Quietly(code)
}

// stack is what redoubt run is made of.
func (r *runner) stack() (redoubt.Stack, error) {
	stack := redoubt.Stack{
		redoubt.Telemetry{Name: cmp.Or(r.name, filepath.Base(r.args[0]))},
		timeout.Limit(r.timeout),
	}
	if r.stdinMode.value == stdinReplay {
		stack = append(stack, redoubt.LayerFunc(r.loadInput))
	}
	stack = append(stack, retry.Policy{
		MaxAttempts:   int(r.maxAttempts),
		Backoff:       r.backoff,
		MaxRetryAfter: r.timeout.Duration(), // an open circuit is waited for as long as there is time
		AwaitRefusals: true,
	}, redoubt.LayerFunc(r.keep))
	if r.breaker != "" {
		guard, err := r.guard()
		if err != nil {
			return nil, err
		}
		stack = append(stack, guard)
	}
	stack = append(stack, timeout.Limit(r.attemptTimeout))
	return stack, redoubt.Check(stack)
}

// guard returns the breaker that all runs share.
func (r *runner) guard() (redoubt.Layer, error) {
	dir := r.stateDir
	if dir == "" {
		var err error
		if dir, err = statedir.Default(); err != nil {
			return nil, fmt.Errorf("%w; give one with --state-dir", err)
		}
	}
	level := slog.LevelWarn
	if r.verbose {
		level = slog.LevelDebug
	}
	return shared.New(shared.Config{
		Name:        r.breaker,
		Store:       shared.NewFileStore(statedir.Breakers(dir)),
		Consecutive: int(r.breakerFailures),
		Cooldown:    r.breakerCooldown.Duration(),
		Classify:    classify,
		Logger:      slog.New(&logHandler{w: r.log(), level: level}),
	}), nil
}

// classify tells a breaker of failures that are the dependency's: a command that
// fails for good, or cannot be started, says nothing about it.
func classify(err error) breaker.Outcome {
	if e, ok := errors.AsType[*attemptError](err); ok && !e.retryable {
		return breaker.Ignored
	}
	if _, ok := errors.AsType[*proc.StartError](err); ok {
		return breaker.Ignored
	}
	return breaker.DefaultClassify(err)
}

func (r *runner) loadInput(ctx context.Context, call func(context.Context) error) error {
	if err := r.stdin.load(ctx); err != nil {
		return err
	}
	return call(ctx)
}

// backoff makes the waits, which are told as they are chosen. The policy may
// still lengthen a wait for a breaker's sake, or find that there is no time.
func (r *runner) backoff() backoff.BackOff {
	waits := retry.Constant(0)
	if first := min(r.sleepTime, r.maxSleepTime); first > 0 {
		waits = retry.FullJitter(first.Duration(), r.maxSleepTime.Duration())
	}
	return &told{waits(), r.tellRetry}
}

// told is a sequence of waits that somebody is told of.
type told struct {
	backoff.BackOff
	tell func(time.Duration)
}

func (t *told) NextBackOff() time.Duration {
	wait := t.BackOff.NextBackOff()
	t.tell(wait)
	return wait
}

// keep keeps what there is to say about an attempt.
func (r *runner) keep(ctx context.Context, call func(context.Context) error) error {
	before := r.attempt
	r.attempt = attempt{ordinal: retry.Attempt(ctx), began: time.Now()}
	if before.ordinal > 0 {
		r.waited += r.attempt.began.Sub(before.ended)
	}
	err := call(ctx)
	r.attempt.ended, r.attempt.err = time.Now(), err
	return err
}
