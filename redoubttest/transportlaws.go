package redoubttest

import "time"

// promptly is how late something may be that happens at once.
const promptly = 100 * time.Millisecond

func transportLaws() []transportLaw {
	return []transportLaw{
		{"Response", checkResponse},
		{"Statuses", checkStatuses},
		{"EmptyBodies", checkEmptyBodies},
		{"Redirects", checkRedirects},
		{"Cookies", checkCookies},
		{"Credentials", checkCredentials},
		{"CloseIdleConnections", checkCloseIdleConnections},
		{"ErrorShowsThrough", checkErrorOfBase},
		{"RequestBodies", checkRequestBodies},
		{"UnsafeRequests", checkUnsafeRequests},
		{"RepeatedRequests", checkRepeatedRequests},
		{"EarlyAnswer", checkEarlyAnswer},
		{"StreamedRequest", checkStreamedRequest},
		{"StreamedResponse", checkStreamedResponse},
		{"StreamedEvents", checkStreamedEvents},
		{"LargeResponse", checkLargeResponse},
		{"BrokenResponse", checkBrokenResponse},
		{"Trailers", checkTrailers},
		{"InterimResponses", checkInterimResponses},
		{"Upgrade", checkUpgrade},
		{"Context", checkContext},
		{"CancelledBefore", checkCancelledBefore},
		{"CancelledWhileSending", checkCancelledWhileSending},
		{"CancelledWhileWaiting", checkCancelledWhileWaiting},
		{"CancelledWhileReading", checkCancelledWhileReading},
		{"CancelField", checkCancelField},
		{"Deadline", checkDeadline},
		{"Panic", checkBasePanics},
		{"Goexit", checkBaseExits},
		{"Concurrent", checkConcurrentTrips},
		{"ManyFailures", checkManyFailures},
	}
}
