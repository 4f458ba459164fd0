package telemetry

// Scope is the instrumentation scope of every signal.
const Scope = "github.com/redoubt-go/redoubt"

// Attribute keys of our own.
const (
	keyName         = "redoubt.name"               // the call's name
	keyOutcome      = "redoubt.outcome"            // success, failure, rejected, cancelled
	keyRetried      = "redoubt.retried"            // whether more than one attempt was made
	keyAttempt      = "redoubt.attempt"            // ordinal of an attempt, first = 1
	keyAttempts     = "redoubt.attempts"           // attempts made in all
	keyStopReason   = "redoubt.retry.stop_reason"  // why no further attempt was made
	keyRetryReason  = "redoubt.retry.reason"       // error.type of the attempt retried
	keyRetryDelay   = "redoubt.retry.delay"        // seconds
	keyRetrySource  = "redoubt.retry.delay_source" // backoff, retry_after
	keyLayer        = "redoubt.layer"              // timeout, retry, breaker, limit
	keyLayerName    = "redoubt.layer.name"         // the layer's own name, such as the breaker's
	keyReason       = "redoubt.reason"             // why a layer refused or a breaker moved
	keyRetryAfter   = "redoubt.retry_after"        // seconds
	keyLimit        = "redoubt.limit"              // seconds
	keyBreakerState = "redoubt.breaker.state"      // closed, open, half-open
	keyBreakerFrom  = "redoubt.breaker.from"
	keyBreakerTo    = "redoubt.breaker.to"
	keyGeneration   = "redoubt.breaker.generation"
	keyLimitWait    = "redoubt.limit.wait.duration" // seconds

	keyEndpoint       = "redoubt.failover.endpoint" // of an attempt; functions only
	keyFailoverFrom   = "redoubt.failover.from"
	keyFailoverTo     = "redoubt.failover.to"
	keyFailoverReason = "redoubt.failover.reason" // error.type at the endpoint that was left

	keyReplays         = "redoubt.http.replays"           // times that net/http sent the request again on its own
	keyConnReused      = "redoubt.http.connection_reused" // of a replay
	keyContinueWait    = "redoubt.http.continue.wait"     // seconds
	keyContinueGranted = "redoubt.http.continue.granted"  // whether 100 came

	keyHedgeResult  = "redoubt.hedge.result"  // issued, withheld, won, lost, failed, panicked
	keyHedgeOrdinal = "redoubt.hedge.ordinal" // of the hedge within its attempt, from 1
	keyHedgeTime    = "redoubt.hedge.time"    // seconds: the delay before a hedge, or how long it took
)

// Span names.
const (
	spanCallPrefix    = "redoubt " // + the call's name
	spanAttemptPrefix = "attempt " // + the call's name; functions only
	spanHedgePrefix   = "hedge "   // + the call's name; functions only
	spanShortCircuit  = "redoubt short-circuit"
)

// Event names.
const (
	eventRetry      = "redoubt.retry"
	eventTimeout    = "redoubt.timeout"
	eventTransition = "redoubt.breaker.transition"
	eventFailover   = "redoubt.failover"
	eventReplay     = "redoubt.http.replay"
	eventContinue   = "redoubt.http.continue"
	eventLimitWait  = "redoubt.limit.wait"
	eventHedge      = "redoubt.hedge"
)

// Metric names.
const (
	metricCallDuration    = "redoubt.call.duration"
	metricAttemptDuration = "redoubt.attempt.duration"
	metricCalls           = "redoubt.calls"
	metricAttempts        = "redoubt.retry.attempts"
	metricRetryDelay      = "redoubt.retry.delay"
	metricStops           = "redoubt.retry.stops"
	metricTimeouts        = "redoubt.timeouts"
	metricRejections      = "redoubt.rejections"
	metricUnenforced      = "redoubt.rejections.unenforced"
	metricTransitions     = "redoubt.breaker.transitions"
	metricBreakerState    = "redoubt.breaker.state"
	metricFailureRatio    = "redoubt.breaker.failure_ratio"
	metricBudgetBalance   = "redoubt.budget.balance"
	metricLimitCurrent    = "redoubt.limit.current"
	metricLimitInFlight   = "redoubt.limit.in_flight"
	metricLimitWaiting    = "redoubt.limit.waiting"
	metricLimitWait       = "redoubt.limit.wait.duration"
	metricHedges          = "redoubt.hedges"
	metricFailovers       = "redoubt.failovers"

	metricSendDuration = "http.client.request.duration" // the conventions' own
)

// Outcomes of a call.
const (
	outcomeSuccess   = "success"
	outcomeFailure   = "failure"
	outcomeRejected  = "rejected"
	outcomeCancelled = "cancelled"
)
