package behaviours

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
)

var tlsProbes = []probe{
	{number: "092", behaviour: "a certificate that isn't trusted is seen once, not retried", run: untrusted},
	{number: "093", behaviour: "… nor is one with the wrong name", run: wrongName},
	{number: "094", behaviour: "… nor a server that doesn't speak TLS", run: noTLS},
}

// wantsOneConnection returns an error unless a request fails on its first
// connection.
func (s *server) wantsOneConnection(x *trial, base *http.Transport) error {
	s.base = base
	resp, err := x.client(settings{base: base}).Do(s.request(x, "GET", nil))
	finish(resp)
	if n := s.conns.Opened(); err == nil || n != 1 {
		return fmt.Errorf("%d connections (%v)", n, err)
	}
	return nil
}

func untrusted(x *trial) error {
	s := x.prepare(statuses(200))
	s.StartTLS()
	return s.wantsOneConnection(x, &http.Transport{})
}

func wrongName(x *trial) error {
	s := x.prepare(statuses(200))
	s.StartTLS()
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return s.wantsOneConnection(x, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "billing.test"}})
}

func noTLS(x *trial) error {
	s := x.serve(statuses(200))
	s.URL = strings.Replace(s.URL, "http:", "https:", 1)
	return s.wantsOneConnection(x, &http.Transport{})
}
