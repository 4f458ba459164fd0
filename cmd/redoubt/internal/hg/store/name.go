package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/remote"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/wire"
)

// Name returns a name for what is known of the repository at a URL: readable,
// and different for different URLs.
func Name(primary source.Source) string {
	sum := sha256.Sum256([]byte(primary.Endpoint() + "\x00" + primary.String()))
	readable := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}, strings.TrimLeft(primary.Hostname()+"-"+primary.Base(), ".-"))
	const most = 80
	return readable[:min(len(readable), most)] + "-" + hex.EncodeToString(sum[:6])
}

// Unknown reports whether err says that a source lacks a revision.
func Unknown(err error) bool {
	return errors.Is(err, wire.ErrUnknownRevision) || strings.Contains(remote.Verdict(err).Message, "unknown revision")
}
