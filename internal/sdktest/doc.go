// Package sdktest tests Redoubt's telemetry against the OpenTelemetry SDK: the
// spans, the metrics and what they cost. It is a module of its own so that the
// SDK is not a requirement of the library, which needs the API alone.
package sdktest
