package redoubt

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// numbers returns the facts in words.
func (d described) numbers() string {
	switch d.Kind {
	case KindTimeout:
		if d.Limit == 0 {
			return "no limit"
		}
		return d.Limit.String()
	case KindRetry:
		return d.retryNumbers()
	case KindBreaker:
		return d.breakerNumbers()
	case KindLimit:
		return d.limitNumbers()
	case KindHedge:
		return d.hedgeNumbers()
	case KindFailover:
		return count(d.Endpoints, "endpoint")
	}
	return ""
}

func (d described) retryNumbers() string {
	if d.MaxAttempts == 1 {
		return "1 attempt"
	}
	text := fmt.Sprintf("%s, waits of %s", count(d.MaxAttempts, "attempt"), atMost(d.MostWaits))
	if d.Budgeted {
		return text + "; on a budget"
	}
	return text + "; no budget"
}

func atMost(d time.Duration) string {
	if d < 0 {
		return "unknown length"
	}
	return "at most " + span(d)
}

func (d described) breakerNumbers() string {
	var rules []string
	if d.FailureRatio > 0 {
		rules = append(rules, fmt.Sprintf("%.4g %% failures", 100*d.FailureRatio))
	}
	if d.SlowRatio > 0 {
		rules = append(rules, fmt.Sprintf("%.4g %% slower than %v", 100*d.SlowRatio, d.SlowCall))
	}
	if len(rules) > 0 {
		rules[len(rules)-1] += fmt.Sprintf(" of %d or more calls in %v", d.MinCalls, d.Window)
	}
	if d.Consecutive > 0 {
		rules = append(rules, fmt.Sprintf("%d failures in a row", d.Consecutive))
	}
	text := "opens at " + strings.Join(rules, "; or ") + fmt.Sprintf("; for %v", d.Cooldown)
	if d.MaxCooldown > d.Cooldown {
		text += fmt.Sprintf(" to %v", d.MaxCooldown)
	}
	text += ", then " + count(d.Probes, "probe")
	if d.PerKey {
		text += "; one for each key"
	}
	return text
}

func (d described) limitNumbers() string {
	text := fmt.Sprintf("%d at once", d.MaxInFlight)
	if d.Adaptive {
		text = fmt.Sprintf("at most %d at once, adaptive", d.MaxInFlight)
	}
	if d.MaxWait > 0 {
		text += fmt.Sprintf("; waits up to %v for a turn", d.MaxWait)
	} else {
		text += "; no waiting"
	}
	if d.PerKey {
		text += "; one for each key"
	}
	return text
}

func (d described) hedgeNumbers() string {
	text := count(d.Hedges, "hedge") + " after a measured delay"
	if d.Delay > 0 {
		text = fmt.Sprintf("%s after %v", count(d.Hedges, "hedge"), d.Delay)
	}
	if d.PerKey {
		text += "; one for each key"
	}
	return text
}

// place says what d means where it is.
func (d described) place(outside, inside []described) string {
	if d.wrong {
		return "is wrong by itself, see below"
	}
	repeated, repeats := has(outside, repeating), has(inside, repeating)
	switch d.Kind {
	case KindTimeout:
		return d.timeoutPlace(repeated, repeats)
	case KindRetry:
		return d.retryPlace(outside, inside)
	case KindBreaker:
		switch {
		case repeated:
			return "judges each attempt; once open, it ends the call"
		case repeats:
			return "judges each call by its last attempt; once open, nothing is sent"
		}
		return "judges each call; once open, nothing is sent"
	case KindLimit:
		switch {
		case repeated:
			return "counts attempts: while a retry waits, its place is free"
		case repeats:
			return "counts calls: they keep their places while a retry waits"
		}
		return "counts calls"
	case KindHedge:
		return "sends another attempt beside one that takes long"
	case KindFailover:
		return "sends an attempt to one endpoint after the other until one answers"
	}
	if d.opaque {
		return "tells nothing of itself"
	}
	return d.Does
}

func (d described) timeoutPlace(repeated, repeats bool) string {
	switch {
	case d.body:
		return "bounds each silence in the response's body, after the call"
	case d.Limit == 0:
		return "bounds nothing"
	case d.phases > 1:
		return "bounds each attempt: to connect, to send, and to wait for headers, each"
	case repeated && repeats:
		return "bounds each attempt of the retry around it, all of the retry inside"
	case repeated:
		return "bounds each attempt"
	case repeats:
		return "bounds the whole call: all attempts, and the waits between"
	}
	return "bounds the call"
}

func (d described) retryPlace(outside, inside []described) string {
	switch {
	case d.MaxAttempts == 1:
		return "never repeats"
	case has(outside, ofKind(KindRetry)) && !d.Nested:
		return "makes one attempt: the retry around it does the repeating"
	case has(inside, ofKind(KindBreaker)):
		return "repeats attempts, until the breaker inside refuses"
	case has(outside, ofKind(KindBreaker)):
		return "repeats attempts, of which the breaker outside sees the last"
	}
	return "repeats attempts"
}

func has(layers []described, is func(described) bool) bool {
	return slices.ContainsFunc(layers, is)
}

func ofKind(k Kind) func(described) bool {
	return func(d described) bool { return d.Kind == k }
}

// repeating reports whether d may run a call more than once.
func repeating(d described) bool { return d.Kind == KindRetry && d.MaxAttempts > 1 }
