package failover

import (
	"context"
	"time"

	"github.com/redoubt-go/redoubt/internal/says"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A pass is one call on its way through the endpoints. The law of layers makes it
// a matter of one goroutine at a time.
type pass struct {
	f    *Failover
	ctx  context.Context //nolint:containedctx // A pass is a call.
	call func(context.Context) error

	// judge fills in whether what the call said is final or unsafe.
	judge func(*answer)

	fates []Fate
	asked bool // an endpoint was asked
	last  int  // index of the fate that is the last one asked, else 0
}

func newPass(ctx context.Context, f *Failover, call func(context.Context) error) *pass {
	return &pass{f: f, ctx: ctx, call: call, judge: f.judge}
}

// judge judges an error by itself: that of a function.
func (f *Failover) judge(a *answer) { a.final = !f.tryNext(a.err) }

func (f *Failover) tryNext(err error) bool {
	if f.config.TryNext != nil {
		return f.config.TryNext(err)
	}
	return retryable(err)
}

// run asks one endpoint after the other.
func (p *pass) run() error {
	if p.ctx.Err() != nil {
		return p.failed(StopCancelled)
	}
	endpoints := p.f.endpoints
	for i, e := range endpoints {
		a := p.ask(e, e.guard)
		if a.err == nil {
			p.deposit()
			return nil
		}
		p.fates = append(p.fates, Fate{Endpoint: e.label, Err: a.err, Refused: a.refused || a.unfunded})
		if !a.refused && !a.unfunded {
			p.asked, p.last = true, i
		}
		stop := a.stop(p.place(i+1 < len(endpoints)))
		switch {
		case stop == "":
			continue
		case stop == StopExhausted && !p.asked && p.f.config.FailOpen:
			return p.failOpen()
		default:
			return p.failed(stop)
		}
	}
	return p.failed(StopExhausted)
}

func (p *pass) place(more bool) place {
	here := place{ended: p.ctx.Err() != nil, left: noDeadline, need: p.f.config.MinTime, more: more}
	if deadline, ok := p.ctx.Deadline(); ok {
		here.left = time.Until(deadline)
	}
	return here
}

// ask makes the call at e, inside of guard.
func (p *pass) ask(e *endpoint, guard Layer) answer {
	var a answer
	ran, touched := false, false
	call := func(ctx context.Context) error {
		if !ran {
			if p.asked && !p.withdraw() {
				a.unfunded = true
				return errBudget
			}
			ran = true
			p.moved(ctx, e)
		}
		err := p.call(ctx)
		touched = touched || !says.Rejected(err)
		return err
	}
	ctx := context.Context(&endpointContext{p.ctx, e})
	if guard == nil {
		a.err = call(ctx)
	} else {
		a.err = guard.Do(ctx, call)
	}
	if a.err == nil || a.unfunded {
		return a
	}
	a.refused = !touched && says.Rejected(a.err)
	p.judge(&a)
	return a
}

// moved tells telemetry that the call is made at e, and whether it comes from
// elsewhere.
func (p *pass) moved(ctx context.Context, e *endpoint) {
	telemetry.Ask(ctx, e.label)
	if len(p.fates) == 0 {
		return
	}
	from := p.fates[p.last]
	if from.Endpoint == e.label { // past its guard
		return
	}
	telemetry.FailedOver(ctx, telemetry.Failover{Name: p.f.config.Name, From: from.Endpoint, To: e.label, Err: from.Err})
}

// failOpen asks the endpoint that takes calls again first, past its guard.
func (p *pass) failOpen() error {
	i := soonest(p.fates)
	if i < 0 {
		return p.failed(StopExhausted)
	}
	a := p.ask(p.f.endpoints[i], nil)
	if a.err == nil {
		p.deposit()
		return nil
	}
	p.fates[i] = Fate{Endpoint: p.fates[i].Endpoint, Err: a.err, Refused: a.refused}
	return p.failed(a.stop(p.place(false)))
}

// failed records that the call is over without success, and returns the error
// for its caller.
func (p *pass) failed(stop Stop) error {
	if len(p.fates) == 1 && (stop == StopPermanent || stop == StopUnsafe || stop == StopExhausted) {
		return p.fates[0].Err
	}
	e := &Error{Name: p.f.config.Name, Stop: stop, Fates: p.fates, secrets: p.f.secrets}
	switch {
	case stop == StopCancelled:
		e.Cause, e.done = context.Cause(p.ctx), p.ctx.Err()
	case stop == StopBudget, stop == StopDeadline, e.Rejected():
		telemetry.Reject(p.ctx, telemetry.Rejection{
			Layer: "failover", Name: p.f.config.Name, Reason: e.rejection(), Err: e, Because: telemetry.LastAttempt(p.ctx),
		})
	}
	return e
}

// rejection is the reason of a refusal in telemetry.
func (e *Error) rejection() string {
	if e.Stop == StopExhausted {
		return "no_endpoint"
	}
	return string(e.Stop)
}

func (p *pass) withdraw() bool { return p.f.config.Budget == nil || p.f.config.Budget.Withdraw() }

func (p *pass) deposit() {
	if p.f.config.Budget != nil && !p.f.config.PaidElsewhere {
		p.f.config.Budget.Deposit()
	}
}
