package runcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/proc"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// What redoubt run says itself goes to stderr, each line beginning with
// "redoubt: ", so that it can be told from what the command says.

func (r *runner) log() io.Writer {
	if r.quiet {
		return io.Discard
	}
	return r.stderr
}

func (r *runner) sayf(format string, args ...any) {
	fmt.Fprintf(r.log(), "redoubt: "+format+"\n", args...)
}

func (r *runner) debugf(format string, args ...any) {
	if r.verbose {
		r.sayf(format, args...)
	}
}

// tellRetry says why there will be another attempt, and when. own is what the
// policy would wait; it waits longer for a circuit to be half-open. It says
// nothing if the time limit does not leave room for another attempt, or if there
// is none: then a refusal is not waited out.
func (r *runner) tellRetry(own time.Duration) {
	wait, least := own, ""
	if open, ok := errors.AsType[*breaker.OpenError](r.attempt.err); ok {
		if r.timeout == 0 {
			return
		}
		if after, _ := open.RetryAfter(); after > own {
			wait, least = after, "at least "
		}
	}
	if r.timeout > 0 && wait >= r.timeout.Duration()-time.Since(r.start) {
		return
	}
	note := ""
	if r.stdin.once && r.runs > 0 {
		note = ", without the input that the first had"
	}
	r.sayf("attempt %d of %d failed after %v: %s; next in %s%v%s: %s", r.attempt.ordinal, r.maxAttempts,
		short(r.attempt.ended.Sub(r.attempt.began)), r.describe(r.attempt.err), least, short(wait), note, show(r.args))
}

// sumUp says how it all went, in one line.
func (r *runner) sumUp(err error, code int) {
	plural := "s"
	if r.runs == 1 {
		plural = ""
	}
	spent := fmt.Sprintf("%d attempt%s in %v", r.runs, plural, short(time.Since(r.start)))
	if r.waited > time.Millisecond {
		spent += fmt.Sprintf(", %v of it waiting", short(r.waited))
	}
	if err == nil {
		r.sayf("succeeded (%s): %s", spent, show(r.args))
		return
	}
	r.sayf("failed with exit code %d (%s): %s: %s", code, spent, r.describe(err), show(r.args))
}

// describe says what went wrong, without what the line says anyway.
func (r *runner) describe(err error) string {
	if open, ok := errors.AsType[*breaker.OpenError](err); ok {
		text := open.Error()
		if after, ok := open.RetryAfter(); ok {
			text += ", for another " + short(after).String()
		}
		return text
	}
	if signal, ok := errors.AsType[*proc.SignalError](err); ok {
		return signal.Error()
	}
	note := ""
	if gaveUp, ok := errors.AsType[*retry.Error](err); ok && gaveUp.Err != nil {
		if gaveUp.Stop == retry.StopDeadline {
			note = fmt.Sprintf("; no time for another attempt within --timeout %v", r.timeout.Duration())
		}
		if _, ok := errors.AsType[*timeout.Error](gaveUp.Cause); !ok {
			err = gaveUp.Err
		}
	}
	return strings.TrimPrefix(r.attemptText(err), r.args[0]+": ") + note
}

// attemptText is the text of a failed attempt.
func (r *runner) attemptText(err error) string {
	if limit, ok := errors.AsType[*timeout.Error](err); ok {
		flag := "--timeout"
		if limit.Limit == r.attemptTimeout.Duration() {
			flag = "--attempt-timeout"
		}
		return fmt.Sprintf("%s %v is over", flag, limit.Limit)
	}
	if e, ok := errors.AsType[*attemptError](err); ok {
		return e.Error()
	}
	return err.Error()
}

// short rounds a duration for people.
func short(d time.Duration) time.Duration {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}

// logHandler writes the records of the library as lines like all others.
type logHandler struct {
	w     io.Writer
	level slog.Level
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *logHandler) Handle(_ context.Context, record slog.Record) error {
	var b strings.Builder
	b.WriteString("redoubt: " + record.Message)
	record.Attrs(func(a slog.Attr) bool {
		if value := a.Value.String(); value != "" {
			b.WriteString(" " + a.Key + "=" + quoteWord(value))
		}
		return true
	})
	_, err := io.WriteString(h.w, b.String()+"\n")
	return err
}

// WithAttrs and WithGroup are not used by the library.
func (h *logHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h *logHandler) WithGroup(string) slog.Handler { return h }
