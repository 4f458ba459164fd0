//go:build !linux

package mirror

import (
	"context"
	"net"
)

// dial returns the dialler.
func dial(d *net.Dialer) func(context.Context, string, string) (net.Conn, error) {
	return d.DialContext
}
